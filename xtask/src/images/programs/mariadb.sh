#!/bin/sh
# As the public image's: makes the database of an empty folder by the environment, then becomes the server.
set -e
case ${1:--} in
-* | mariadbd | mysqld) ;;
*) exec "$@" ;;
esac
data=/var/lib/mysql
password=${MARIADB_ROOT_PASSWORD:-$MYSQL_ROOT_PASSWORD}
user=${MARIADB_USER:-$MYSQL_USER}
user_password=${MARIADB_PASSWORD:-$MYSQL_PASSWORD}
database=${MARIADB_DATABASE:-$MYSQL_DATABASE}
if [ ! -d "$data/mysql" ]; then
    if [ -z "$password" ]; then
        echo "Database is uninitialized and password option is not specified" >&2
        exit 1
    fi
    mariadb-install-db --user=mysql --datadir="$data" --auth-root-authentication-method=normal --skip-test-db >/dev/null
    {
        echo "ALTER USER 'root'@'localhost' IDENTIFIED BY '$password';"
        echo "CREATE USER 'root'@'%' IDENTIFIED BY '$password';"
        echo "GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;"
        [ -z "$database" ] || echo "CREATE DATABASE IF NOT EXISTS \`$database\`;"
        if [ -n "$user" ]; then
            echo "CREATE USER '$user'@'%' IDENTIFIED BY '$user_password';"
            [ -z "$database" ] || echo "GRANT ALL ON \`$database\`.* TO '$user'@'%';"
        fi
    } >/tmp/init.sql
    set -- "$@" --init-file=/tmp/init.sql
fi
chown -R mysql:mysql "$data" /run/mysqld
exec mariadbd --user=mysql --datadir="$data" --bind-address=0.0.0.0 --socket=/run/mysqld/mysqld.sock "$@"
