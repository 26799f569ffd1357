"""One small shop, written once for each framework: the same pages, behind the same addresses."""
