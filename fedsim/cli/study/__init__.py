"""Commands about many runs, and questions about one."""
