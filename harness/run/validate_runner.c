/*
 * validate_runner.c - the process that runs the programs of a validation.
 *
 * The kernel reports as a child's peak memory at least what its parent had resident, and a
 * replay makes us grow. Programs and replays alternate, so the programs need a parent that
 * stays small: a fork of us from before anything was compiled. It receives a job as one
 * message, runs it and answers with the costs; it ends when we close the socket, and dies with
 * us. It learns from the idle worker of each backend which code is the allocator's, and samples
 * how much of the program's user time is spent there.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc/base/install_paths.h"
#include "harness/launch/worker.h"
#include "harness/run/validate.h"

enum { SLICE_MS = 100, SAID_BYTES = 8192 };

/* What the child knows. */
struct serving {
	const struct rh_validate_config *config;
	const struct rh_validate *of;
	struct rh_code *codes; /* by row: of its allocator; none until a worker has said it */
};

struct answer {
	int result;
	struct rh_real_cost cost;
	struct rh_err err;
};

/* "code PATH" on lines of their own. */
static void read_code(char *said, struct rh_code *code)
{
	struct rh_err ignored;

	*code = (struct rh_code){ .count = 0 };
	for (char *line; (line = strsep(&said, "\n"));)
		if (strncmp(line, "code ", 5) == 0 && rh_code_add(code, line + 5, &ignored) < 0)
			code->count = 0;
}

/* The memory that loading takes. For /bin/true we would see what this process had resident at the
 * exec, 2.1 MiB where it takes 1.1; and a program of some size has touched most of the C library
 * anyway. So a worker that does nothing reports it of itself. Where it cannot (a build with a
 * sanitizer), the value of /bin/true stays. */
static void load_again(const struct rh_real *nothing, struct rh_real_cost *cost,
		       struct rh_code *code)
{
	static char resident[] = "resident";
	char worker[4096], said[SAID_BYTES] = "", *at;
	char *argv[] = { worker, resident, NULL };
	struct rh_real again = *nothing;
	struct rh_real_cost ignored_cost;
	struct rh_err ignored;
	unsigned long kib = 0;

	if (rh_install_path("reheap-worker", worker, sizeof(worker), &ignored) < 0)
		return;
	again.argv = argv;
	again.output_fd = memfd_create("reheap-resident", MFD_CLOEXEC);
	if (again.output_fd < 0)
		return;
	if (rh_real_run(&again, &ignored_cost, &ignored) == 0 &&
	    pread(again.output_fd, said, sizeof(said) - 1, 0) > 0 &&
	    (at = strstr(said, "resident "))) { /* the loader may have said something before */
		kib = strtoul(at + 9, NULL, 10);
		read_code(at, code);
	}
	if (kib)
		cost->peak_rss_bytes = 1024 * (uint64_t)kib;
	close(again.output_fd);
}

static void do_job(const struct serving *serving, const struct rh_runner_job *job,
		   struct answer *answer)
{
	static char true_path[] = "/bin/true";
	static char *nothing[] = { true_path, NULL };
	struct rh_code *code = &serving->codes[job->row];
	const struct rh_validate_config *config = serving->config;
	struct rh_real real = { .argv = job->nothing ? nothing : config->argv,
				.driver = job->nothing ? NULL : config->driver,
				.spec = serving->of->result.backends[job->row].spec,
				.libc = job->libc[0] ? job->libc : NULL,
				.behind = job->behind[0] ? job->behind : NULL,
				.timeout_ns = config->timeout_ns,
				.watch = job->watch,
				.code = !job->nothing && code->count ? code : NULL,
				.input = !job->nothing && config->input,
				.output_fd = -1 };

	*answer = (struct answer){ .result = 0 };
	answer->result = rh_real_run(&real, &answer->cost, &answer->err);
	if (job->nothing && answer->result == 0)
		load_again(&real, &answer->cost, code);
}

static _Noreturn void serve(int fd, const struct rh_validate_config *config,
			    const struct rh_validate *of)
{
	struct serving serving = { config, of, calloc(of->row_count, sizeof(struct rh_code)) };
	struct rh_runner_job job;
	struct answer answer;
	ssize_t got;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (!serving.codes)
		_exit(1);
	do {
		got = recv(fd, &job, sizeof(job), 0);
		if (got != sizeof(job))
			continue;
		do_job(&serving, &job, &answer);
		if (send(fd, &answer, sizeof(answer), MSG_NOSIGNAL) != sizeof(answer))
			break;
	} while (got > 0 || (got < 0 && errno == EINTR && !rh_interrupted));
	_exit(0);
}

int rh_runner_begin(struct rh_runner *runner, const struct rh_validate_config *config,
		    const struct rh_validate *of, struct rh_err *err)
{
	int line[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, line) < 0)
		return rh_fail_errno(err, RH_OS, "no line to the process that runs programs");
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		close(line[0]);
		serve(line[1], config, of);
	}
	close(line[1]);
	if (pid < 0) {
		close(line[0]);
		return rh_fail_errno(err, RH_OS, "no process that runs programs");
	}
	*runner = (struct rh_runner){ .fd = line[0], .pid = pid };
	return 0;
}

/* The runner is interrupted, too: the signal may have been sent to us alone. */
static ssize_t await(const struct rh_runner *runner, struct answer *answer)
{
	struct pollfd at = { .fd = runner->fd, .events = POLLIN };
	bool sent = false;

	while (poll(&at, 1, SLICE_MS) <= 0)
		if (rh_interrupted && !sent) {
			kill(runner->pid, SIGTERM);
			sent = true;
		}
	return recv(runner->fd, answer, sizeof(*answer), 0);
}

int rh_runner_run(const struct rh_runner *runner, const struct rh_runner_job *job,
		  struct rh_real_cost *cost, struct rh_err *err)
{
	struct answer answer;

	if (send(runner->fd, job, sizeof(*job), MSG_NOSIGNAL) != sizeof(*job) ||
	    await(runner, &answer) != sizeof(answer))
		return rh_fail(err, RH_OS, "the process that runs programs has ended");
	*cost = answer.cost;
	if (answer.result < 0)
		*err = answer.err;
	return answer.result;
}

void rh_runner_end(struct rh_runner *runner)
{
	if (!runner->pid)
		return;
	close(runner->fd);
	while (waitpid(runner->pid, NULL, 0) < 0 && errno == EINTR)
		;
	runner->pid = 0;
}
