"""The middleware among other software: test suites of frameworks, and servers and frameworks against each other."""
