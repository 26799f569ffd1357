"""Several real worker processes, and shoppers who move between them."""
