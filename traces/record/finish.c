/*
 * finish.c - the traces of a recording and the summary on stderr.
 *
 * The program's last image gets the name that was asked for. Images it left by exec, and
 * other processes, get NAME.PID.rht, with a number when one process had several.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "alloc/base/os.h"
#include "traces/record/session.h"

/* The image that is the program in the end: the last one of its process that has events. */
static size_t final_image(const struct rh_session *session)
{
	size_t found = rh_drain_newest(&session->drain, session->child, true);

	return found != SIZE_MAX ? found :
				   rh_drain_newest(&session->drain, session->child, false);
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
	if (image->pid != session->child)
		snprintf(text, room, image->over ? "over" : "still running");
	else if (!session->reaped)
		snprintf(text, room, "still running");
	else if (WIFSIGNALED(session->wait_status))
		snprintf(text, room, "signal %d", WTERMSIG(session->wait_status));
	else
		snprintf(text, room, "exit %d", WEXITSTATUS(session->wait_status));
}

/* ns per tick over the whole recording when that is long enough to beat calibration. */
static double ns_per_tick(const struct rh_session *session)
{
	uint64_t ns = rh_now_ns() - session->began_ns;
	uint64_t ticks = rh_ticks() - session->began_ticks;

	if (session->clock.source == RH_CLOCK_MONOTONIC)
		return 1.0;
	return ns > 1000000000u && ticks ? (double)ns / (double)ticks : session->clock.ns_per_tick;
}

static void sum_losses(const struct rh_session *session, struct rh_emit *what)
{
	uint32_t high = atomic_load(&session->area->rings_high);

	for (uint32_t i = 0; i < high && i < RH_RINGS; i++) {
		struct rh_ring *ring = rh_area_ring(session->area, i);

		what->dropped += atomic_load(&ring->dropped);
		what->nested += atomic_load(&ring->nested);
		what->waits += atomic_load(&ring->waits);
		what->wait_ns += atomic_load(&ring->wait_ns);
	}
	what->no_ring = atomic_load(&session->area->no_ring);
}

static void tell_trace(const struct rh_session *session, const char *path,
		       const struct rh_trace_totals *totals, uint64_t threads, uint64_t spent_ns)
{
	struct stat st = { 0 };
	double seconds = (double)spent_ns / 1e9;

	if (session->opts->quiet)
		return;
	if (strcmp(path, "-") != 0)
		stat(path, &st);
	fprintf(stderr, "reheap record: %s: %llu events, %llu threads, %.1f MB; "
		"written in %.2f s (%.1f M events/s)\n", path,
		(unsigned long long)totals->events, (unsigned long long)threads,
		(double)st.st_size / 1e6, seconds, seconds > 0 ?
		(double)totals->events / 1e6 / seconds : 0.0);
}

static bool write_image(const struct rh_session *session, size_t index, bool final,
			struct rh_emit *what)
{
	const struct rh_image *image = &session->drain.images[index];
	struct rh_trace_totals totals;
	struct rh_err err = { 0 };
	char path[4096], ended[40];
	uint64_t began = rh_now_ns();

	name_of(session, index, final, path, sizeof path);
	how_it_ended(session, image, ended, sizeof ended);
	what->image = (uint32_t)index;
	what->ended = ended;
	if (rh_emit(what, path, &totals, &err) < 0) {
		fprintf(stderr, "reheap record: the trace %s is not there: %s\n", path, err.text);
		return false;
	}
	tell_trace(session, path, &totals, image->threads, rh_now_ns() - began);
	return true;
}

static void tell_losses(const struct rh_session *session, const struct rh_emit *what)
{
	const struct rh_drain *drain = &session->drain;
	uint64_t lost = what->dropped + what->nested + what->no_ring;
	uint64_t forks = atomic_load(&session->area->forks_ignored);
	uint64_t no_proc = atomic_load(&session->area->no_proc);

	if (drain->full.text[0])
		fprintf(stderr, "reheap record: recording stopped before the program's end: %s; "
			"what came later is not in the trace (%llu calls of it were seen)\n",
			drain->full.text, (unsigned long long)drain->discarded);
	if (lost)
		fprintf(stderr, "reheap record: not recorded: %llu events (rings full %llu, signal "
			"handlers %llu, no ring %llu)\n", (unsigned long long)lost,
			(unsigned long long)what->dropped, (unsigned long long)what->nested,
			(unsigned long long)what->no_ring);
	if (no_proc)
		fprintf(stderr, "reheap record: %llu processes found no place among %d and are not "
			"recorded\n", (unsigned long long)no_proc, RH_PROCS);
	if (session->opts->quiet)
		return;
	if (forks)
		fprintf(stderr, "reheap record: %llu child processes are not recorded "
			"(--follow-children)\n", (unsigned long long)forks);
	if (what->waits)
		fprintf(stderr, "reheap record: threads waited %llu times, %.1f ms in all, for "
			"room in their rings\n", (unsigned long long)what->waits,
			(double)what->wait_ns / 1e6);
}

static void tell_capture(const struct rh_session *session)
{
	const struct rh_drain *drain = &session->drain;
	double seconds = (double)(rh_now_ns() - session->began_ns) / 1e9;

	if (session->opts->quiet)
		return;
	fprintf(stderr, "reheap record: captured %llu calls in %.2f s (%.2f M/s), %.1f MB raw, "
		"%.1f bytes each; clock %s\n", (unsigned long long)drain->events, seconds,
		(double)drain->events / 1e6 / seconds, (double)drain->bytes / 1e6,
		drain->events ? (double)drain->bytes / (double)drain->events : 0.0,
		session->clock.name);
}

static void tell_empty(const struct rh_session *session)
{
	const struct rh_drain *drain = &session->drain;

	if (drain->events || session->span_count == 0)
		return;
	fprintf(stderr, drain->image_count ?
		"reheap record: the program made no allocation through libc's malloc\n" :
		"reheap record: the program never loaded the recorder: it cleared its environment, "
		"changed user, or runs something static\n");
}

bool rh_session_finish(struct rh_session *session)
{
	char clock[200];
	struct rh_emit what = {
		.opts = session->opts, .drain = &session->drain, .spans = session->spans,
		.span_count = session->span_count, .clock = clock,
	};
	size_t final = final_image(session);
	bool ok = true;

	what.ns_per_tick = ns_per_tick(session);
	sum_losses(session, &what);
	snprintf(clock, sizeof clock, "%s, %.6f ns a tick%s%s", session->clock.name,
		 what.ns_per_tick, session->clock.why ? "; " : "",
		 session->clock.why ? session->clock.why : "");
	tell_capture(session);
	for (size_t i = 0; i < session->drain.image_count; i++)
		if (i == final || session->drain.images[i].events)
			ok = write_image(session, i, i == final, &what) && ok;
	tell_empty(session);
	tell_losses(session, &what);
	if (session->clock.source == RH_CLOCK_MONOTONIC && !session->opts->quiet)
		fprintf(stderr, "reheap record: stamps are CLOCK_MONOTONIC: %s\n",
			session->clock.why ? session->clock.why : "no counter to trust");
	return ok && final != SIZE_MAX;
}

/* Recording ended before the program. Its threads count what they make then; a few calls
 * of the moment in which it ended may still lie in the rings. */
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
		fprintf(stderr, "reheap record: the program made %llu more calls while recording "
			"was off\n", (unsigned long long)outside);
}
