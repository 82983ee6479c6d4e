/*
 * host.c - reads the machine's facts.
 */
#include "harness/launch/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "alloc/base/os.h"

bool rh_read_line(const char *path, char *text, unsigned text_bytes)
{
	FILE *file = fopen(path, "re");
	bool got = file && fgets(text, (int)text_bytes, file);

	if (file)
		fclose(file);
	if (!got)
		text[0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return got;
}

/* "always [madvise] never" -> "madvise" */
static void keep_chosen(char *text)
{
	char *open = strchr(text, '['), *close = open ? strchr(open, ']') : NULL;

	if (!close)
		return;
	*close = '\0';
	memmove(text, open + 1, strlen(open + 1) + 1);
}

/* The value of the first line of /proc/cpuinfo that starts with key. */
static bool cpuinfo(const char *key, char *text, size_t text_bytes)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	char line[4096];
	bool found = false;

	text[0] = '\0';
	while (file && !found && fgets(line, sizeof(line), file)) {
		char *value = strchr(line, ':');

		if (strncmp(line, key, strlen(key)) != 0 || !value)
			continue;
		value += 1 + strspn(value + 1, " \t");
		value[strcspn(value, "\n")] = '\0';
		snprintf(text, text_bytes, "%s", value);
		found = true;
	}
	if (file)
		fclose(file);
	return found;
}

/* Empty on bare metal. */
static void read_hypervisor(struct rh_host *host)
{
	char flags[4096], product[64], vendor[64];

	if (!cpuinfo("flags", flags, sizeof(flags)) || !strstr(flags, " hypervisor"))
		return;
	rh_read_line("/sys/class/dmi/id/sys_vendor", vendor, sizeof(vendor));
	rh_read_line("/sys/class/dmi/id/product_name", product, sizeof(product));
	snprintf(host->hypervisor, sizeof(host->hypervisor), "%s%s%s",
		 vendor[0] ? vendor : "a virtual machine", product[0] ? " " : "", product);
}

void rh_host_read(struct rh_host *host)
{
	struct utsname names;
	double load = 0;

	*host = (struct rh_host){ .cpus_allowed = rh_cpu_count() };
	if (uname(&names) == 0) {
		snprintf(host->name, sizeof(host->name), "%s", names.nodename);
		snprintf(host->kernel, sizeof(host->kernel), "%s %s", names.sysname, names.release);
	}
	if (!cpuinfo("model name", host->cpu_model, sizeof(host->cpu_model)))
		snprintf(host->cpu_model, sizeof(host->cpu_model), "%s", names.machine);
	read_hypervisor(host);
	if (rh_read_line("/sys/kernel/mm/transparent_hugepage/enabled", host->thp,
			 sizeof(host->thp)))
		keep_chosen(host->thp);
	rh_read_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", host->governor,
		     sizeof(host->governor));
	snprintf(host->libc, sizeof(host->libc), "%s%s",
		 strcmp(rh_libc_version(), "musl") == 0 ? "" : "glibc ", rh_libc_version());
	host->cpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	host->memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	host->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	if (getloadavg(&load, 1) == 1)
		host->load1 = load;
}

bool rh_in_path(const char *name, char *found, unsigned found_bytes)
{
	const char *path = getenv("PATH");

	while (path && *path) {
		size_t length = strcspn(path, ":");

		snprintf(found, found_bytes, "%.*s/%s", (int)length, path, name);
		if (access(found, X_OK) == 0)
			return true;
		path += length + (path[length] == ':');
	}
	return false;
}
