"""The RDS API of the local RDS: moto's RDS extended through its own doors, with real servers behind it."""
