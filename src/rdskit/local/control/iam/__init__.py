"""IAM of the local RDS: key pairs, signatures, policies and database tokens."""
