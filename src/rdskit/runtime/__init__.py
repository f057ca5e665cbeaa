"""asyncio only: owned tasks, deadlines, single flight, periodic tasks, the retry executor."""
