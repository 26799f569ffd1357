"""Examples: a storefront, a FastAPI application, and the demo that starts the storefront."""
