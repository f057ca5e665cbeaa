"""``rdskit shell``: an SQL prompt in one session of the writer, which is reopened after a failover."""
