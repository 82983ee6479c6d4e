#!/bin/bash
# lib_docs.sh - documentation is tested: every command line of the pages runs. `page FILE` for each page.
#
# A command is a line of an indented block that begins with `$ `, or with a word that can be a
# command; a line that ends with `\`, or within quotes, goes on in the next. Any other line of a
# block is an error, unless `is_text` knows it, so that no command escapes. Commands of one block run
# one after the other in one shell, blocks of a page in one folder, which holds the things that the
# pages assume: ./server, ./prog, ./daemon, libmine.so and so on. Commands that cannot run here are
# in `elsewhere`, with the reason; a command of `make` is a dry run, so its target exists.
# shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
command -v cc >/dev/null || skip_all 'there is no compiler here'
PATH=$build:$PATH
export LC_ALL=C

# The pages whose commands run, in docs.sh and in docs-rooms.sh; QUESTIONS.md runs in questions.sh.
# shellcheck disable=SC2034  # the scripts use them
main_pages='README.md harness/cli/COOKBOOK.md'
# shellcheck disable=SC2034
room_pages='traces/record/HOWTO.md ci/gate/GATE.md traces/import/README.md traces/corpus/go/README.md
	traces/corpus/README.md harness/matrix/MATRIX.md .github/CONTRIBUTING.md'

# Of a page: its commands, a line each with its number, `N COMMAND` (a new line in one is \001); `N ?
# TEXT` for a line that is none; a line `-` between blocks.
commands_of() {
	awk '
		function is_command(text) {
			return text ~ /^([A-Z_]+=[^ ]* *)*(\.\/server|\.\/prog|reheap|make|sh|cc|for|python3|valgrind|ltrace|perf|bpftrace|lttng|sqlite3|babeltrace2|bytehound|memray|redis-benchmark)( |;|$)/ ||
				text ~ /^[A-Z_]+=[^ ]+$/
		}
		function put() {
			if (line != "")
				print NR, (is_command(line) ? "" : "? ") line
			line = ""
			going_on = quotes = 0
		}
		/^```/ { fenced = !fenced }
		fenced || /^[ \t]*$/ { next }
		!/^(    |\t)/ { put(); if (block) print "-"; block = prompts = 0; next }
		{ sub(/^(    |\t)/, "") }
		!going_on { line = $0; if (sub(/^\$ /, "", line)) prompts = 1; else if (prompts) { line = ""; next }; sub(/^ +/, "", line) }
		going_on && joiner == " " { sub(/^[ \t]+/, "") }
		going_on { line = line joiner $0 }
		{
			block = going_on = 1
			counted = $0
			sub(/(^|[ \t])#.*/, "", counted)
			quotes += gsub(/\047/, "", counted)
			joiner = "\001"
			if (sub(/[ \t]*\\$/, "", line)) { joiner = " "; next }
			if (!is_command(line) || (quotes % 2 == 0 && (line !~ /^for / || line ~ /done$/)))
				put()
		}
		END { put() }' "$1"
}

# Lines of a block that are no commands: what a command prints, a file that is shown, a drawing.
is_text() {
	case $1 in
	README.md) [[ $2 =~ ^(The heap is about|what another heap) ]] ;;
	ci/gate/GATE.md) [[ $2 =~ ^(Where it comes from|by (operation|function|lock|start)) ]] ;;
	harness/matrix/MATRIX.md) [[ $2 =~ ^[]{}\"] ]] ;;
	harness/README.md) [[ $2 == 'compile/ ->'* ]] ;;
	plots/README.md) [[ $2 =~ ^(NAME|\(.input) ]] ;;
	*) false ;;
	esac
}

# Why a command does not run here: printed, or nothing when it does.
elsewhere() {
	local command=$1
	case $command in
	make\ * | sh\ * | *' sh '*) ;;
	bytehound* | *libbytehound*) echo 'needs bytehound' ;;
	*memray*) echo 'needs memray' ;;
	*bpftrace* | *uprobe* | *uretprobe* | delete* | perf\ * | *'perf probe'* | for\ probe* | done | L=*)
		echo 'needs a kernel that lets it trace' ;;
	*--slurm* | *' /shared/m'*) echo 'needs a Slurm, which make test-fleet starts' ;;
	sqlite3\ *)
		command -v sqlite3 >/dev/null || echo 'sqlite3 is not installed' ;;
	lttng\ * | *liblttng-ust* | babeltrace2*) echo 'needs a session daemon of LTTng' ;;
	UMPIRE_*) echo 'needs a program of Umpire' ;;
	*record-go*)
		command -v go >/dev/null || echo 'go is not installed' ;;
	*redis-server* | redis-benchmark* | *redis.json* | *' redis.rht'*)
		command -v redis-server >/dev/null || echo 'redis is not installed' ;;
	*unshare*)
		unshare -p -f --mount-proc true 2>/dev/null || echo 'unshare may not do so here' ;;
	valgrind\ *)
		command -v valgrind >/dev/null || echo 'valgrind is not installed' ;;
	ltrace\ *)
		command -v ltrace >/dev/null || echo 'ltrace is not installed' ;;
	*python3*)
		command -v python3 >/dev/null || echo 'python3 is not installed' ;;
	*pkg-config*)
		command -v pkg-config >/dev/null || echo 'pkg-config is not installed' ;;
	esac
}

# Options that only make a command last longer are reduced; a process is the one that was started
# here. shellcheck disable=SC2016 # the $ is the page's
smaller() {
	sed -e 's/--gates 20/--gates 1 --gates-slower 0/' -e 's/--reps 7/--reps 2/' -e 's/-n 100000/-n 20000/' \
		-e 's/--duration 10/--duration 1/' -e 's/\$(pidof redis-server)/$REDIS/' <<<"$1"
}

# Things that pages assume.
give() {
	cat >job.c <<-'END'
		#include <pthread.h>
		#include <stdlib.h>
		#include <unistd.h>
		static void *work(void *seed)
		{
			static _Thread_local void *kept[256];
			unsigned random = (unsigned)(size_t)seed;
			for (int i = 0; i < 60000; i++) {
				random = random * 1103515245u + 12345;
				void **slot = &kept[random >> 8 & 255];
				free(*slot);
				*slot = malloc(random >> 16 & 1023);
			}
			for (int i = 0; i < 256; i++)
				free(kept[i]);
			return NULL;
		}
		int main(void)
		{
			pthread_t other;
			if (DAEMON && fork())
				return 0;
			if (!ALONE)
				pthread_create(&other, NULL, work, (void *)7);
			work((void *)1);
			if (!ALONE)
				pthread_join(other, NULL);
			sleep(REST);
			return 0;
		}
	END
	cat >mine.c <<-'END'
		#include <stddef.h>
		void *__libc_malloc(size_t);
		void *__libc_calloc(size_t, size_t);
		void *__libc_realloc(void *, size_t);
		void __libc_free(void *);
		void *malloc(size_t bytes) { return __libc_malloc(bytes); }
		void *calloc(size_t n, size_t bytes) { return __libc_calloc(n, bytes); }
		void *realloc(void *block, size_t bytes) { return __libc_realloc(block, bytes); }
		void free(void *block) { __libc_free(block); }
	END
	# ./prog, which runs under other tools, has one thread: ltrace 0.7 crashes now and then with two.
	cc -O1 -pthread -DDAEMON=0 -DREST=0 -DALONE=0 job.c -o server &&
		cc -O1 -pthread -DDAEMON=0 -DREST=0 -DALONE=1 job.c -o prog &&
		cc -O1 -pthread -DDAEMON=1 -DREST=0 -DALONE=0 job.c -o daemon &&
		cc -O1 -pthread -DDAEMON=0 -DREST=60 -DALONE=0 job.c -o rests &&
		cc -shared -fPIC -O2 mine.c -o libmine.so && cp libmine.so libmine-old.so && cp libmine.so libmine-new.so &&
		mkdir -p old new pkg builds traces/corpus && cp libmine.so builds/mimalloc-2.4.1.so &&
		cp libmine.so builds/mimalloc-3.4.3.so && cp libmine.so old && cp libmine.so new &&
		cp "$temp/installed/share/doc/reheap/examples/skeleton_native.c" . &&
		for name in redis git; do
			"$reheap" cut "$root/traces/corpus/$name.rht" --first 60000 -o traces/corpus/$name.rht || return 1
		done || return 1
	# A recorder that was killed leaves its capture; the program, too, is gone.
	"$reheap" record -q -o redis.rht -- ./rests >/dev/null 2>&1 &
	local recorder=$! program
	for _ in $(seq 100); do
		program=$(pgrep -P $recorder -x rests) && break
		sleep 0.1
	done
	sleep 1
	kill -9 $recorder "$program"
	wait $recorder 2>/dev/null
	test -e redis.rht.capture
}

# A repository whose HEAD allocates with more work than v1.4, and a branch of a remote.
give_revisions() {
	mkdir alloc && cp mine.c alloc/ && printf 'libmine.so: mine.c\n\tcc -shared -fPIC -O1 $< -o $@\n' >alloc/Makefile
	git init -q . && git config user.email t@example.org && git config user.name t &&
		git add alloc && git commit -q -m 'first' && git tag v1.4 &&
		echo '/* more */' >>alloc/mine.c && git commit -q -a -m 'second' &&
		git update-ref refs/remotes/origin/main HEAD
	"$reheap" gate traces/corpus/git.rht --baseline ./old/libmine.so --candidate ./new/libmine.so \
		--pairs 3 -o gate.json >/dev/null
	test -s gate.json
}

# give_matrix DIR: a plan of few cells, and the matrix that it made.
give_matrix() {
	mkdir -p ci/examples && cp "$root/ci/policy.json" ci/
	cat >ci/examples/plan.json <<-'END'
		{ "schema": "reheap.plan/1", "traces": ["../../traces/corpus/*.rht"], "backends": ["tiered"],
		  "runs": [{ "kind": "timing", "lanes": "1", "reps": 2 }] }
	END
	"$reheap" matrix ci/examples/plan.json -o "$1" >/dev/null
}

give_go_test() {
	cat >go.mod <<-'END'
		module example
		go 1.21
	END
	cat >pkg/big_test.go <<-'END'
		package pkg
		import "testing"
		var kept [][]byte
		func TestBig(t *testing.T) {
			for i := 0; i < 1000; i++ {
				kept = append(kept, make([]byte, i))
			}
		}
	END
}

# page FILE: runs its commands in a folder of its own.
page() {
	local file=$1 number command why later=() code shown
	mkdir "$temp/page" && cd "$temp/page" && cp -r "$temp/given/." . || exit 1
	case $file in
	ci/gate/GATE.md) { give_revisions; give_matrix m/; } >/dev/null 2>&1 ;;
	traces/corpus/go/README.md) give_go_test ;;
	harness/matrix/MATRIX.md) give_matrix last-week/ >/dev/null 2>&1 ;;
	esac
	why=
	while read -r number command; do
		if [ "$number" = - ]; then
			why=
			continue
		fi
		shown=${command//$'\001'/ }
		shown="$file:$number: ${shown%%  *}"
		if [[ $command == '? '* ]]; then
			is_text "$file" "${command#? }" || ok "$shown is a command, or known text" false
			continue
		fi
		[ -n "$why" ] || why=$(elsewhere "$command")
		if [ -n "$why" ]; then
			skip "$shown" "$why"
			continue
		fi
		case $command in
		make*) command="make -n -C $root NO_DEPS=1 ${command#make}" ;;
		sh\ * | *' sh '*) command="sh -n $root/${command#*sh }" ;; # it would record for minutes
		esac
		command=$(smaller "${command//$'\001'/$'\n'}")
		if [[ $command == *'&' ]]; then
			bash -c "${command%&}" >out.later 2>&1 </dev/null &
			later+=($!)
			sleep 2
			continue
		fi
		ran "$shown" timeout 120 bash -c "$command"
	done < <(commands_of "$root/$file")
	for pid in "${later[@]}"; do
		wait "$pid"
		code=$?
		ok "$file: what ran beside it ended well" test $code = 0
	done
	cd "$temp" && rm -rf page
}

# ran WHAT COMMAND...: exit 0, or 6 with what is absent here, or 3 of a gate that is undecided; nothing that the loader could not preload.
ran() {
	local what=$1 code
	shift
	tests=$((tests + 1))
	"$@" >"$temp/.out" 2>"$temp/.err" </dev/null
	code=$?
	[ $code != 3 ] || ! grep -q 'verdict=inconclusive' "$temp/.out" || code=0
	if { [ $code = 0 ] || { [ $code = 6 ] && grep -q 'absent\|not measured' "$temp/.out" "$temp/.err"; }; } &&
		! grep -q 'ERROR: ld.so' "$temp/.err"; then
		echo "ok $tests - $what"
	else
		echo "not ok $tests - $what"
		echo "# exit $code"
		tail -n 15 "$temp/.out" "$temp/.err" | sed 's/^/# /'
		failures=$((failures + 1))
	fi
}

export LD_LIBRARY_PATH=$build PKG_CONFIG_PATH=$temp/installed/lib/pkgconfig
# one install at a time: where something is not built yet, two makes would build it at once
flock "$build" make -s -C "$root" install NO_DEPS=1 B="$build" PREFIX="$temp/installed" LIBDIR="$temp/installed/lib" \
	>"$temp/install.log" 2>&1 || { tail "$temp/install.log"; exit 1; }
mkdir given && cd given && give || { echo 'what the pages take as given cannot be made'; exit 1; }
cd "$temp" || exit 1
if command -v redis-server >/dev/null; then
	redis-server --port 0 --unixsocket "$temp/redis.sock" --save '' >/dev/null 2>&1 &
	export REDIS=$!
	trap 'kill $REDIS; cleanup' EXIT
fi
