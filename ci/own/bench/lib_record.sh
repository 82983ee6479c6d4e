# lib_record.sh - shared by record.sh and record_whole.sh. Source it.
# shellcheck shell=sh

# rows_sql COUNT: sqlite3's job: a table of so many rows, an index, a join, long strings
rows_sql() {
	cat <<EOF
.timer on
CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
INSERT INTO t SELECT i, 'name ' || (i * 7919 % 60000), hex(i) FROM n;
CREATE INDEX tb ON t(b);
SELECT count(*) FROM t x JOIN t y ON x.b = y.b WHERE x.c < y.b || 'z';
SELECT length(group_concat(b || c)) FROM t;
SELECT sum(length(replace(b || c, 'a', 'bb'))) FROM t;
EOF
}
