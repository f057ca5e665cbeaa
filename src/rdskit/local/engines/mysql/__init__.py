"""MySQL and MariaDB servers: their files, programs, processes and SQL."""
