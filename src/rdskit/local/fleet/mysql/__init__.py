"""MySQL and MariaDB as the fleet sees them."""
