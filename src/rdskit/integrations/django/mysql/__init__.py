"""The ``ENGINE`` for MySQL and MariaDB, with PyMySQL in place of mysqlclient, which Django's own backend imports."""

import pymysql

pymysql.install_as_MySQLdb()
