"""``ENGINE``: MySQL and MariaDB, with PyMySQL in the place of mysqlclient, for which Django's own backend looks."""

import pymysql

pymysql.install_as_MySQLdb()
