"""A small server-rendered shop on Emporix: what `make demo` shows.

Start reading at `app.py` (how it is put together), then `pages.py` (what each page does).
"""
