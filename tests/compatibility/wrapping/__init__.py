"""Puts the middleware around every application of another project's tests; see `every_application`."""
