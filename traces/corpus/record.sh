#!/bin/sh
# record.sh REHEAP OUT [NAME...] - records the corpus: programs from Debian packages doing
# real work, one trace each. Anyone can rerun it; a missing program is skipped with a line that
# names its package. Servers listen on 127.0.0.1 only and are stopped here.
#
# Each trace is cut at EVENTS calls (default 1500000), so that the corpus stays small; the
# servers' load is sized to pass that point well after their start-up.
set -u
reheap=${1:?usage: record.sh REHEAP OUT [NAME...]}
out=${2:?usage: record.sh REHEAP OUT [NAME...]}
shift 2
events=${EVENTS:-1500000}
port=${PORT:-17370}
all="redis mariadb memcached nginx sqlite cc1plus lld python git perl"
work=$(mktemp -d)
server=
stop() {
	[ -z "$server" ] || kill "$server" 2>/dev/null
	rm -rf "$work"
}
trap stop EXIT
trap 'exit 1' INT TERM
mkdir -p "$out" || exit 1

need() {	# PROGRAM PACKAGE
	command -v "$1" >/dev/null && return 0
	echo "$name: skipped, $1 is not installed (apt-get install $2)"
	return 1
}

# Records in the foreground.
record() { "$reheap" record --level 19 --max-events "$events" -o "$out/$name.rht" -- "$@"; }

# Starts a recorded server in the background and waits until its port answers.
serve() {
	# Not through record(): $! shall be reheap, which passes our signal on.
	"$reheap" record --level 19 --max-events "$events" -o "$out/$name.rht" -- "$@" \
		> "$work/$name.log" 2>&1 &
	server=$!
	for _ in $(seq 100); do
		if answers; then return 0; fi
		kill -0 "$server" 2>/dev/null || break
		sleep 0.1
	done
	echo "$name: the server does not answer:"
	tail -5 "$work/$name.log"
	return 1
}

answers() {
	perl -MIO::Socket::INET -e 'exit !IO::Socket::INET->new("127.0.0.1:'"$port"'")' 2>/dev/null
}
# A signal to reheap is passed on to the server; reheap ends when the trace is written.
finish() {
	kill -TERM "$server" 2>/dev/null
	wait "$server"
	server=
	grep '^reheap record' "$work/$name.log"
}

redis() {
	need redis-server redis-server && need redis-benchmark redis-tools || return 0
	serve redis-server --bind 127.0.0.1 --port "$port" --save '' --io-threads 2 \
		--io-threads-do-reads yes --dir "$work" || return 1
	redis-benchmark -h 127.0.0.1 -p "$port" -q -n 25000 -c 16 -P 8 -d 64 -r 25000 \
		-t set,get,lpush,rpop,sadd,hset,zadd,mset > /dev/null
	finish
}

mariadb() {
	need mariadbd mariadb-server && need mariadb-slap mariadb-client || return 0
	mariadb-install-db --no-defaults --auth-root-authentication-method=normal --user="$(id -un)" \
		--datadir="$work/db" > "$work/install.log" 2>&1 || return 1
	serve mariadbd --no-defaults --datadir="$work/db" --user="$(id -un)" --port="$port" \
		--bind-address=127.0.0.1 --socket="$work/db.sock" --innodb-buffer-pool-size=16M \
		--skip-networking=0 --thread-handling=one-thread-per-connection || return 1
	mariadb-slap --no-defaults -h 127.0.0.1 -P "$port" --protocol=tcp -u root --concurrency=16 \
		--iterations=2 --auto-generate-sql --auto-generate-sql-load-type=mixed \
		--number-of-queries=12000 > /dev/null
	finish
}

memcached() {
	need memcached memcached || return 0
	# Short connections that send sets and multi-gets in one go, so that read buffers grow and
	# shrink, and ask for statistics as monitors do. Items live in slabs, not in malloc.
	cat > "$work/load.pl" <<-'EOF'
		use IO::Socket::INET;
		sub key { 'k' . int rand 3000 }
		sub ask {
			my ($turn) = @_;
			my $ask = '';
			for (1 .. 12) {
				my $bytes = int 30 * 2 ** rand 10;
				$ask .= 'set ' . key() . " 0 60 $bytes noreply\r\n" . 'x' x $bytes . "\r\n";
			}
			$ask .= join(' ', 'get', map { key() } 1 .. 60) . "\r\n" for 1 .. 6;
			$ask .= "stats\r\nstats items\r\nstats slabs\r\nstats conns\r\n" if $turn % 4 == 0;
			return $ask . "mn\r\n";
		}
		sub answered {
			my ($socket) = @_;
			my ($end, $more) = ('');
			$end = substr($end, -8) . $more
				while $end !~ /MN\r\n$/ && sysread $socket, $more, 65536;
		}
		for my $client (1 .. 10) {
			next if fork;
			srand $client;
			for my $turn (1 .. 60) {
				my @open = map { IO::Socket::INET->new("127.0.0.1:$ARGV[0]") or exit 1 } 1 .. 12;
				syswrite $_, ask($turn) for @open;
				answered($_) for @open;
			}
			exit;
		}
		1 while wait > 0;
	EOF
	serve memcached -l 127.0.0.1 -p "$port" -U 0 -t 4 -m 64 -u "$(id -un)" || return 1
	perl "$work/load.pl" "$port"
	finish
}

nginx() {
	need nginx nginx-light && need ab apache2-utils || return 0
	mkdir -p "$work/www"
	for i in 1 2 3 4; do head -c "$((i * 9000))" /dev/zero | tr '\0' x > "$work/www/$i.html"; done
	cat > "$work/nginx.conf" <<-EOF
		daemon off; master_process off; pid $work/nginx.pid; error_log $work/error.log;
		events { worker_connections 512; }
		http {
			types { text/html html; }
			access_log $work/access.log; gzip on; gzip_min_length 100;
			client_body_temp_path $work; proxy_temp_path $work; fastcgi_temp_path $work;
			uwsgi_temp_path $work; scgi_temp_path $work;
			server { listen 127.0.0.1:$port; root $work/www; ssi on; autoindex on; }
		}
	EOF
	serve nginx -c "$work/nginx.conf" || return 1
	for path in 1.html 4.html '' none.html; do
		ab -q -n 6000 -c 24 -H 'Accept-Encoding: gzip' "http://127.0.0.1:$port/$path" >/dev/null 2>&1
	done
	finish
}

sqlite() {
	need sqlite3 sqlite3 || return 0
	cat > "$work/rows.sql" <<-'EOF'
		CREATE TABLE orders(id INTEGER PRIMARY KEY, customer TEXT, item TEXT, price REAL);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
		INSERT INTO orders SELECT i, 'customer ' || (i * 7919 % 997), hex(i * 31), i % 113 FROM n;
		CREATE INDEX by_customer ON orders(customer);
		SELECT customer, sum(price), group_concat(item) FROM orders GROUP BY customer LIMIT 5;
		UPDATE orders SET item = replace(item, '3', 'three') WHERE id % 3 = 0;
		SELECT count(*) FROM orders a JOIN orders b ON a.customer = b.customer WHERE a.id < 200;
		DELETE FROM orders WHERE id % 5 = 0;
		VACUUM;
	EOF
	record sqlite3 "$work/shop.db" < "$work/rows.sql" > /dev/null
}

cc1plus() {
	need g++ g++ || return 0
	cat > "$work/words.cc" <<-'EOF'
		#include <algorithm>
		#include <map>
		#include <memory>
		#include <string>
		#include <vector>
		struct node { std::map<std::string, std::unique_ptr<node>> next; int count = 0; };
		int add(node &root, const std::vector<std::string> &path)
		{
			node *at = &root;
			for (const auto &word : path) {
				auto &next = at->next[word];
				if (!next) next = std::make_unique<node>();
				at = next.get();
			}
			return ++at->count;
		}
		std::vector<std::string> sorted(std::vector<std::string> words)
		{
			std::sort(words.begin(), words.end(),
				  [](const auto &a, const auto &b) { return a.size() < b.size(); });
			return words;
		}
	EOF
	g++ -E "$work/words.cc" -o "$work/words.ii" &&
		record "$(g++ -print-prog-name=cc1plus)" -quiet -O2 "$work/words.ii" -o "$work/words.s"
}

python() {
	need python3 python3 || return 0
	cat > "$work/report.py" <<-'EOF'
		import collections, json, re, threading
		text = json.dumps([{"id": i, "tags": ["t%d" % (i % k) for k in range(2, 9)],
				    "name": "row %d" % i} for i in range(2500)])
		def work(part):
		    rows = json.loads(text)
		    counts = collections.Counter(tag for row in rows for tag in row["tags"])
		    for row in rows[part::3]:
		        row["name"] = re.sub(r"\d+", lambda m: str(int(m.group()) * 2), row["name"])
		    return json.dumps(rows), counts.most_common(5)
		threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
		for t in threads: t.start()
		for t in threads: t.join()
	EOF
	# Without this python serves objects up to 512 bytes from arenas of its own.
	PYTHONMALLOC=malloc record "$(python3 -c 'import sys; print(sys.executable)')" -S "$work/report.py"
}

git_work() {
	need git git || return 0
	mkdir "$work/repo"
	(
		cd "$work/repo" && git init -q . && cp -r /usr/include/linux . &&
			git add . && git -c user.name=c -c user.email=c@example.org commit -qm one &&
			for f in linux/*.h; do echo "/* two */" >> "$f"; done &&
			git -c user.name=c -c user.email=c@example.org commit -qam two
	) || return 1
	record git -C "$work/repo" -c pack.threads=4 log -p --stat -M > /dev/null
}

perl_work() {
	need perl perl-base || return 0
	cat > "$work/words.pl" <<-'EOF'
		my (%count, %by_length, @lines);
		for my $n (1 .. 9000) { push @lines, join ' ', map { "w" . ($n * $_ % 4099) } 1 .. 8 }
		for (@lines) { $count{lc $_}++ for split }
		push @{ $by_length{length $_} }, [ $_, $count{$_} ] for sort keys %count;
		my $text = join "\n", map { my $l = $_; map { "$l $_->[0]" } @{ $by_length{$l} } }
			sort keys %by_length;
		$text =~ s/(\d+)/<$1>/g;
		print length $text, "\n";
	EOF
	record perl "$work/words.pl" > /dev/null
}

# The whole of the static libraries that come with g++, relocated, folded and collected.
lld() {
	need ld.lld-14 lld-14 && need g++ g++ || return 0
	set --
	for lib in libstdc++.a libc.a libm-2.36.a libgcc.a libgcc_eh.a libgomp.a libquadmath.a libitm.a; do
		path=$(g++ -print-file-name="$lib")
		[ "$path" = "$lib" ] || set -- "$@" "$path"
	done
	record ld.lld-14 --threads=4 -static -O2 --icf=all --gc-sections --build-id=sha1 -z muldefs \
		--defsym main=0 -o "$work/out" "$(g++ -print-file-name=crt1.o)" \
		"$(g++ -print-file-name=crti.o)" --whole-archive "$@" --no-whole-archive \
		"$(g++ -print-file-name=crtn.o)"
}

failed=0
for name in ${*:-$all}; do
	case $name in
	git | perl) "${name}_work" ;;
	redis | mariadb | memcached | nginx | sqlite | cc1plus | lld | python) "$name" ;;
	*) echo "$name: not in the corpus ($all)"; false ;;
	esac || { echo "$name: failed"; failed=1; }
	[ -z "$server" ] || finish > /dev/null 2>&1
done
exit $failed
