"""Python applications at home on Amazon RDS."""
