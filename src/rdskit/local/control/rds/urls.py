"""Register the RDS API with moto, which looks for the names in this module."""

from rdskit.local.control.rds.responses import LocalRDSResponse

url_bases = [r"https?://rds\.(.+)\.amazonaws\.com", r"https?://rds\.amazonaws\.com"]
url_paths = {"{0}/$": LocalRDSResponse.dispatch}
