"""What the middleware costs, next to what people would use instead: ``make bench``."""
