"""MySQL and MariaDB as engines of the fleet."""
