/*
 * finish.c - the traces of a recording and the summary on stderr.
 *
 * The program's last image gets the requested name. Images that it replaced by exec, and other
 * processes, get NAME.PID.rht, with a number when one process had several.
 */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "alloc/base/os.h"
#include "traces/record/complete.h"
#include "traces/record/later.h"
#include "traces/record/session.h"
#include "alloc/base/printable.h"

/* The image that is the program in the end: the last one of its process that has events. */
static size_t final_image(const struct rh_session *session)
{
	size_t found = rh_drain_newest(&session->drain, session->child, true);

	return found != SIZE_MAX ? found : rh_drain_newest(&session->drain, session->child, false);
}

static void name_of(const struct rh_session *session, size_t index, bool final, char *path,
		    size_t room)
{
	const struct rh_image *images = session->drain.images;
	const char *out = session->opts->out;
	size_t stem = strlen(out), twin = 1;

	if (final) {
		snprintf(path, room, "%s", out);
		return;
	}
	if (stem > 4 && strcmp(out + stem - 4, ".rht") == 0)
		stem -= 4;
	for (size_t i = 0; i < index; i++)
		twin += images[i].pid == images[index].pid;
	if (twin > 1)
		snprintf(path, room, "%.*s.%d-%zu.rht", (int)stem, out, images[index].pid, twin);
	else
		snprintf(path, room, "%.*s.%d.rht", (int)stem, out, images[index].pid);
}

static void how_it_ended(const struct rh_session *session, const struct rh_image *image, char *text,
			 size_t room)
{
	if (session->recovered && !session->later)
		snprintf(text, room, "unknown: the recorder was killed");
	else if (image->pid != session->child || session->attached)
		snprintf(text, room,
			 image->over || (session->attached && session->reaped) ? "over"
									       : "still running");
	else if (!session->reaped)
		snprintf(text, room, "still running");
	else if (WIFSIGNALED(session->wait_status))
		snprintf(text, room, "signal %d", WTERMSIG(session->wait_status));
	else
		snprintf(text, room, "exit %d", WEXITSTATUS(session->wait_status));
}

/* After this time the clocks are compared to 4 millionths, even if a read is late by 250 ns: better
 * than they were calibrated. Not later, because a program's events are written from then on. */
#define COMPARED_NS 60000000u
/* The kernel slews its clock by half of it at most; more is a read that was interrupted. */
#define COMPARED_MOST 1e-3

/* ns per tick over the whole recording when that is long enough to beat calibration. */
static double ns_per_tick(const struct rh_session *session)
{
	uint64_t ns = rh_now_ns() - session->began_ns;
	uint64_t ticks = rh_ticks() - session->began_ticks;
	double calibrated = session->clock.ns_per_tick, compared;

	if (session->clock.source == RH_CLOCK_MONOTONIC)
		return 1.0;
	if (session->recovered || ns <= COMPARED_NS || !ticks)
		return calibrated;
	compared = (double)ns / (double)ticks;
	return fabs(compared / calibrated - 1) < COMPARED_MOST ? compared : calibrated;
}

static void sum_losses(const struct rh_session *session, struct rh_emit *what)
{
	uint32_t high = session->area ? atomic_load(&session->area->rings_high) : 0;

	if (session->later)
		rh_later_losses(session->later, what);
	for (uint32_t i = 0; i < high && i < RH_RINGS; i++) {
		struct rh_ring *ring = rh_area_ring(session->area, i);

		what->dropped += atomic_load(&ring->dropped);
		what->nested += atomic_load(&ring->nested);
		what->waits += atomic_load(&ring->waits);
		what->wait_ns += atomic_load(&ring->wait_ns);
	}
	if (!session->area)
		return;
	what->sample_full = atomic_load(&session->area->sample_full);
	what->no_ring = atomic_load(&session->area->no_ring) + atomic_load(&session->area->no_map);
}

struct written {
	const char *path;
	struct rh_trace_totals totals;
	uint64_t threads, spent_ns;
	bool before;		      /* begun while the program ran */
	const struct rh_image *child; /* NULL: it is the program itself */
};

static void print_trace(const struct rh_session *session, const struct written *written)
{
	struct stat st = { 0 };
	double seconds = (double)written->spent_ns / 1e9;
	double events = (double)written->totals.events;

	if (session->opts->quiet)
		return;
	if (strcmp(written->path, "-") != 0)
		stat(written->path, &st);
	rh_print(stderr, "reheap record: %s: %llu events, %llu threads, %.1f MB", written->path,
		 (unsigned long long)written->totals.events, (unsigned long long)written->threads,
		 (double)st.st_size / 1e6);
	if (written->child)
		rh_print(stderr, " of %d %.200s", written->child->pid, written->child->exe);
	fputs("; written ", stderr);
	if (written->before)
		rh_print(stderr, "while it ran, and in %.2f s after that\n", seconds);
	else
		rh_print(stderr, "in %.2f s (%.1f M events/s)\n", seconds,
			 seconds > 0 ? events / 1e6 / seconds : 0.0);
}

static uint64_t unrecorded(const struct rh_session *session)
{
	uint64_t count = session->later ? session->later->unrecorded : session->children.lost;

	for (size_t i = 0; i < session->children.count; i++)
		count += session->children.rows[i].pid != session->child;
	return count;
}

/* Prints the final line about a trace; the program's own trace needs no name. */
static void print_verdict(const struct rh_session *session, const char *path, const char *complete)
{
	bool yes = strcmp(complete, "yes") == 0;
	uint64_t others = *path || !session->opts->follow ? 0 : unrecorded(session);
	char beside[100] = "";

	if (session->opts->quiet)
		return;
	if (others)
		snprintf(beside, sizeof beside, "; %llu of its children, named above, not recorded",
			 (unsigned long long)others);
	rh_print(stderr, "reheap record: %s%s%s%s%s\n", path, *path ? " is " : "",
		 yes ? "complete: every heap call of the program is in it" : "not complete: ",
		 yes ? "" : complete + strlen("no: "), beside);
}

/* An image of which no call was seen may have a heap of its own. False: no sign of one. */
static bool unseen_heap(const struct rh_session *session, const struct rh_image *image,
			char reasons[RH_COMPLETE_TEXT])
{
	const struct rh_complete_facts facts = {
		.heaps = image->heaps,
		.foreign = image->foreign,
		.exe = image->exe,
		.anonymous_peak = image->anonymous_peak,
		.maps = session->opts->maps_shim != NULL,
		.full = "",
	};

	rh_complete(&facts, reasons);
	if (strcmp(reasons, "yes") == 0)
		return false;
	memmove(reasons, reasons + strlen("no: "), strlen(reasons + strlen("no: ")) + 1);
	return true;
}

/* The counter kills in strict mode. The shim stops reading it when the program enters that mode by
 * a function of libc, and cannot know when it does by an instruction of its own. */
static bool ended_by_us(const struct rh_session *session)
{
	return session->strict && session->reaped && WIFSIGNALED(session->wait_status) &&
	       WTERMSIG(session->wait_status) == SIGSEGV;
}

/* A wrapper script that ends in exec: the calls that were seen are its own, not the program's.
 * NULL: nothing of that kind. */
static const char *became_later(const struct rh_session *session, size_t final, char *text,
				size_t room)
{
	size_t newest = rh_drain_newest(&session->drain, session->child, false);
	const struct rh_children *children = &session->children;
	char reasons[RH_COMPLETE_TEXT];

	if (session->later)
		return session->later->later[0] ? session->later->later : NULL;
	if (ended_by_us(session)) {
		snprintf(text, room,
			 "SIGSEGV ended it in strict seccomp mode: entered without prctl or "
			 "syscall of libc, that mode makes recording fatal");
		return text;
	}
	for (size_t i = 0; i < children->count; i++)
		if (children->rows[i].pid == session->child &&
		    !rh_children_recorded_later(&children->rows[i], &session->drain)) {
			snprintf(text, room, "it became %.200s by exec, which is not recorded: %s",
				 rh_children_name(&children->rows[i]),
				 rh_children_why(children->rows[i].why));
			return text;
		}
	if (final == newest || newest == SIZE_MAX ||
	    !unseen_heap(session, &session->drain.images[newest], reasons))
		return NULL;
	snprintf(text, room, "%.200s, which it became by exec, made no call that was seen: %s",
		 session->drain.images[newest].exe, reasons);
	return text;
}

/* A trace that ran out of disk space may use the space of chunks it has read. After any other
 * failure the capture is still whole and can be recovered. */
static int write_trace(struct rh_session *session, const struct rh_emit *what, const char *path,
		       struct rh_trace_totals *totals, struct rh_err *err)
{
	struct rh_capture *capture = &session->drain.capture;

	if (rh_emit(what, path, totals, err) == 0)
		return 0;
	if (!capture->whole ||
	    (!strstr(err->text, strerror(ENOSPC)) && !strstr(err->text, strerror(EDQUOT))))
		return -1;
	capture->whole = false;
	return rh_emit(what, path, totals, err);
}

static bool write_image(struct rh_session *session, size_t index, bool final, struct rh_emit *what)
{
	const struct rh_image *image = &session->drain.images[index];
	struct rh_emitter *begun =
		rh_stream_take(session->stream, &session->drain.capture, (uint32_t)index);
	struct written written = { .threads = image->threads, .child = final ? NULL : image };
	struct rh_err err = { 0 };
	char path[4096], segment[RH_SEGMENT_PATH] = "", ended[40];
	char later[RH_COMPLETE_TEXT + 300];
	uint64_t began = rh_now_ns();

	name_of(session, index, final, path, sizeof path);
	how_it_ended(session, image, ended, sizeof ended);
	what->image = (uint32_t)index;
	what->ended = ended;
	what->segment_path = segment;
	what->segments = rh_stream_segments(session->stream, (uint32_t)index);
	written.path = path;
	what->later = final ? became_later(session, index, later, sizeof later) : NULL;
	session->drain.capture.whole = !session->drain.full.text[0];
	written.before = begun && rh_emit_end(begun, what, path, &written.totals, &err) == 0;
	if (!written.before && write_trace(session, what, path, &written.totals, &err) < 0) {
		rh_print(stderr, "reheap record: the trace %s is not there: %s\n", path, err.text);
		return false;
	}
	if (segment[0])
		written.path = segment;
	written.spent_ns = rh_now_ns() - began;
	print_trace(session, &written);
	if (!final)
		print_verdict(session, written.path, what->complete);
	return true;
}

/* Processes with a trace were named with it. */
static void print_children(const struct rh_session *session)
{
	const struct rh_children *children = &session->children;
	char reasons[RH_COMPLETE_TEXT], said[RH_COMPLETE_TEXT] = "";

	for (size_t i = 0; i < session->drain.image_count && session->opts->follow; i++) {
		const struct rh_image *image = &session->drain.images[i];

		/* Between fork and exec nothing is worth a line. */
		if (session->opts->quiet || image->pid == session->child || image->events ||
		    rh_drain_newest(&session->drain, image->pid, false) != i)
			continue;
		if (unseen_heap(session, image, reasons)) {
			/* A browser has twenty of one kind: the reasons once. */
			rh_print(stderr,
				 "reheap record: child %d %.200s: no call of it was seen%s%s\n",
				 image->pid, image->exe, strcmp(reasons, said) ? ": " : " either",
				 strcmp(reasons, said) ? reasons : "");
			memcpy(said, reasons, sizeof said);
			continue;
		}
		rh_print(stderr, "reheap record: child %d %.200s: recorded, made no call\n",
			 image->pid, image->exe);
	}
	for (size_t i = 0; i < children->count; i++)
		rh_print(stderr, "reheap record: %s %d %s: not recorded: %s\n",
			 children->rows[i].pid == session->child ? "the program" : "child",
			 children->rows[i].pid, rh_children_name(&children->rows[i]),
			 rh_children_why(children->rows[i].why));
	if (children->lost)
		rh_print(stderr, "reheap record: %llu more children are not recorded\n",
			 (unsigned long long)children->lost);
}

static void print_losses(const struct rh_session *session, const struct rh_emit *what)
{
	const struct rh_drain *drain = &session->drain;
	uint64_t lost = what->dropped + what->nested + what->no_ring;
	uint64_t forks = session->area ? atomic_load(&session->area->forks_ignored) : 0;
	uint64_t no_proc = session->area ? atomic_load(&session->area->no_proc) : 0;

	if (drain->full.text[0])
		rh_print(stderr,
			 "reheap record: recording stopped before the program's end: %s; "
			 "what came later is not in the trace (%llu calls of it were seen)\n",
			 drain->full.text, (unsigned long long)drain->discarded);
	if (lost)
		fprintf(stderr,
			"reheap record: not recorded: %llu events (rings full %llu, signal "
			"handlers %llu, no ring %llu)\n",
			(unsigned long long)lost, (unsigned long long)what->dropped,
			(unsigned long long)what->nested, (unsigned long long)what->no_ring);
	if (no_proc)
		fprintf(stderr,
			"reheap record: %llu processes found no place among %d and are not "
			"recorded\n",
			(unsigned long long)no_proc, RH_PROCS);
	if (session->opts->quiet)
		return;
	if (forks)
		fprintf(stderr,
			"reheap record: %llu child processes are not recorded "
			"(--follow-children)\n",
			(unsigned long long)forks);
	if (what->waits)
		fprintf(stderr,
			"reheap record: threads waited %llu times, %.1f ms in all, for "
			"room in their rings\n",
			(unsigned long long)what->waits, (double)what->wait_ns / 1e6);
}

static void print_capture(const struct rh_session *session)
{
	const struct rh_drain *drain = &session->drain;
	double seconds = (double)(rh_now_ns() - session->began_ns) / 1e9;

	if (session->opts->quiet)
		return;
	rh_print(stderr,
		 "reheap record: captured %llu calls in %.2f s (%.2f M/s), %.1f MB raw, "
		 "%.1f bytes each; clock %s\n",
		 (unsigned long long)drain->events, seconds, (double)drain->events / 1e6 / seconds,
		 (double)drain->bytes / 1e6,
		 drain->events ? (double)drain->bytes / (double)drain->events : 0.0,
		 session->clock.name);
}

static void print_empty(const struct rh_session *session)
{
	const struct rh_drain *drain = &session->drain;

	if (drain->events || session->span_count == 0)
		return;
	if (session->attached) {
		fprintf(stderr, "reheap record: the process made no call meanwhile\n");
		return;
	}
	fprintf(stderr,
		drain->image_count
			? "reheap record: the program made no allocation through libc's malloc\n"
			: "reheap record: the program never loaded the recorder: it cleared its "
			  "environment, changed user, or runs something static\n");
}

static bool make_room(void *session)
{
	return rh_stream_abandon(((struct rh_session *)session)->stream);
}

/* A device or pipe can be written only once, from beginning to end. */
void rh_session_write_along(struct rh_session *session)
{
	struct stat st;

	if (session->opts->later || session->opts->keep == RH_KEEP_LAST ||
	    (stat(session->opts->out, &st) == 0 && !S_ISREG(st.st_mode)))
		return;
	session->stream = rh_stream_open(rh_emit_rotates(session->opts));
	session->drain.make_room = make_room;
	session->drain.make_room_of = session;
}

void rh_session_turn(struct rh_session *session, uint64_t cut)
{
	const struct rh_emit what = {
		.opts = session->opts,
		.drain = &session->drain,
		.program = session->child,
		.spans = session->spans,
		.span_count = session->span_count,
		.ns_per_tick = ns_per_tick(session),
	};

	if (session->opts->along_events || rh_now_ns() - session->began_ns > COMPARED_NS)
		rh_stream_turn(session->stream, &what, cut);
}

/* ---- the folder of the output is gone ---- */

/* `folder`: of `out`, which has room for both. */
static void folder_of(const char *out, char folder[4096])
{
	const char *slash = strrchr(out, '/');
	size_t bytes = slash > out ? (size_t)(slash - out) : 1;

	assert(bytes < 4096);
	memcpy(folder, slash ? out : ".", bytes);
	folder[bytes] = '\0';
}

/*
 * Removed while the program ran: the capture, still open, is all there is. Its traces go to a new
 * folder of those for temporary files; the one that somebody removed is not made again. False: it
 * is there, or no other can be had.
 */
static bool find_folder(const struct rh_session *session, char path[4096])
{
	const char *const places[] = { getenv("TMPDIR"), "/tmp", "/var/tmp", "/dev/shm" };
	const char *out = session->opts->out, *slash = strrchr(out, '/');
	char folder[4096];
	struct stat st;

	if (session->recovered || strcmp(out, "-") == 0 || strlen(out) >= sizeof folder)
		return false;
	folder_of(out, folder);
	if (stat(folder, &st) == 0 || (errno != ENOENT && errno != ENOTDIR))
		return false;
	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
		const char *base = slash ? slash + 1 : out;

		if (!places[i] || (size_t)snprintf(folder, sizeof folder, "%s/reheap-record.XXXXXX",
						   places[i]) >= sizeof folder)
			continue;
		if (strlen(folder) + 1 + strlen(base) >= sizeof folder || !mkdtemp(folder))
			continue;
		snprintf(path, 4096, "%.2047s/%.2047s", folder, base);
		rh_print(stderr,
			 "reheap record: the folder of %s is gone: what was captured is written to "
			 "%s\n",
			 out, path);
		return true;
	}
	return false;
}

/* A trace could not be written. */
static void print_capture_kept(struct rh_capture *capture)
{
	struct stat st = { 0 };

	if (fstat(capture->fd, &st) == 0 && st.st_nlink == 0) {
		rh_print(stderr,
			 "reheap record: what was captured is lost: %s was removed meanwhile\n",
			 capture->path);
		return;
	}
	capture->keep = true;
	rh_print(stderr,
		 "reheap record: what was captured stays in %s: reheap record --recover makes the "
		 "trace of it\n",
		 capture->path);
}

static void count_lost(struct rh_session *session, const struct rh_emit *what)
{
	print_losses(session, what);
	session->lost = what->dropped + what->nested + what->no_ring + session->drain.discarded;
}

/* --later: false: the trace is written now, because the capture is nowhere, or its disk is full. */
static bool leave_for_later(struct rh_session *session, const struct rh_emit *what, size_t final)
{
	struct rh_capture *capture = &session->drain.capture;
	static struct rh_later later;
	struct rh_err err = { 0 };
	struct stat st;

	if (!session->opts->later || final == SIZE_MAX || !capture->path[0] ||
	    fstat(capture->fd, &st) < 0 || st.st_nlink == 0)
		return false;
	later = (struct rh_later){ .unrecorded = unrecorded(session) };
	if (!became_later(session, final, later.later, sizeof later.later))
		later.later[0] = '\0';
	if (rh_later_put(session, what, &later, &err) < 0) {
		rh_print(stderr, "reheap record: --later: %s; the trace is written now\n",
			 err.text);
		return false;
	}
	capture->keep = true;
	print_children(session);
	count_lost(session, what);
	if (!session->opts->quiet)
		rh_print(stderr,
			 "reheap record: the calls are in %s; reheap record --recover makes the "
			 "trace of it, and says whether it is complete\n",
			 capture->path);
	return true;
}

bool rh_session_finish(struct rh_session *session)
{
	char clock[200], complete[RH_COMPLETE_TEXT], last[RH_COMPLETE_TEXT] = "";
	struct rh_emit what = {
		.opts = session->opts,
		.drain = &session->drain,
		.program = session->child,
		.spans = session->spans,
		.span_count = session->span_count,
		.clock = clock,
		.complete = complete,
		.recovered = session->recovered && !session->later,
	};
	size_t final = final_image(session);
	char children[RH_CHILDREN_NOTE], instead[4096];
	const struct rh_record_opts *asked = session->opts;
	struct rh_record_opts elsewhere = *asked;
	bool ok = true, written = false;

	if (session->later && session->later->children[0])
		what.children = session->later->children;
	rh_children_settle(&session->children, &session->drain);
	if (!session->recovered && (session->opts->follow || session->children.count)) {
		rh_children_note(&session->children, &session->drain, children);
		what.children = children;
	}
	rh_stream_stop(session->stream);
	what.ns_per_tick = ns_per_tick(session);
	sum_losses(session, &what);
	snprintf(clock, sizeof clock, "%s, %.6f ns a tick%s%s", session->clock.name,
		 what.ns_per_tick, session->clock.why ? "; " : "",
		 session->clock.why ? session->clock.why : "");
	if (!session->recovered)
		print_capture(session);
	if (leave_for_later(session, &what, final))
		return true;
	if (find_folder(session, instead)) {
		elsewhere.out = instead;
		what.opts = session->opts = &elsewhere;
	}
	for (size_t i = 0; i < session->drain.image_count; i++)
		if (i == final || session->drain.images[i].events) {
			ok = write_image(session, i, i == final, &what) && ok;
			written = true;
			if (i == final && ok)
				memcpy(last, complete, sizeof last);
		}
	print_empty(session);
	print_children(session);
	count_lost(session, &what);
	if (session->clock.source == RH_CLOCK_MONOTONIC && !session->opts->quiet)
		rh_print(stderr, "reheap record: stamps are CLOCK_MONOTONIC: %s\n",
			 session->clock.why ? session->clock.why : "no counter to trust");
	if (!ok && session->drain.capture.path[0])
		print_capture_kept(&session->drain.capture);
	if (last[0])
		print_verdict(session, "", last);
	session->opts = asked;
	/* A dead recorder may have received nothing from the program itself, but something from
	 * others. */
	return ok && (final != SIZE_MAX || (session->recovered && written));
}

/* Recording ended before the program. From then on its threads only count their calls; a few calls
 * from that moment may still be in the rings. */
void rh_session_afterwards(struct rh_session *session)
{
	struct rh_drain *drain = &session->drain;
	uint32_t high = atomic_load(&session->area->rings_high);
	uint64_t outside = atomic_load(&session->area->outside), seen = drain->discarded;
	struct rh_err err = { 0 };

	drain->stopped = true;
	if (rh_drain_pass(drain, true, &err) >= 0)
		outside += drain->discarded - seen;
	for (uint32_t i = 0; i < high && i < RH_RINGS; i++)
		outside += atomic_load(&rh_area_ring(session->area, i)->outside);
	if (outside && (!session->opts->quiet || drain->full.text[0]))
		fprintf(stderr,
			"reheap record: the program made %llu more calls while recording "
			"was off\n",
			(unsigned long long)outside);
}
