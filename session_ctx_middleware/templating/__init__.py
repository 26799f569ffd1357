"""The session context in templates: its values, amounts and moments as its language writes them, and texts."""

from .filters import install
from .formats import Formats
from .processor import context_processor
from .texts import install_texts

__all__ = ["Formats", "context_processor", "install", "install_texts"]
