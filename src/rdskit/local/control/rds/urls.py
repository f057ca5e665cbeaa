"""Where the emulation finds the RDS API; the names are what it looks for."""

from rdskit.local.control.rds.responses import LocalRDSResponse

url_bases = [r"https?://rds\.(.+)\.amazonaws\.com", r"https?://rds\.amazonaws\.com"]
url_paths = {"{0}/$": LocalRDSResponse.dispatch}
