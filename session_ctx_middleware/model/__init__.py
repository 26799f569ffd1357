"""What a session context is and how it changes: pure values, no I/O, no clock."""
