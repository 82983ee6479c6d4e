/*
 * commands.c - the table of commands, in the order of the help: getting a trace, working with
 * it, replaying it, reporting on it; and the options that all of them have.
 */
#include "alloc/base/cells.h"
#include "harness/cli/command.h"

extern const struct rh_command rh_cmd_calls, rh_cmd_compare, rh_cmd_complete, rh_cmd_cut,
	rh_cmd_doctor, rh_cmd_export, rh_cmd_fidelity, rh_cmd_gate, rh_cmd_gen, rh_cmd_help,
	rh_cmd_history, rh_cmd_import, rh_cmd_info, rh_cmd_list, rh_cmd_matrix, rh_cmd_plot,
	rh_cmd_record, rh_cmd_record_go, rh_cmd_replay, rh_cmd_tour, rh_cmd_validate, rh_cmd_whatif;

const struct rh_command *const rh_commands[] = { &rh_cmd_record,
						 &rh_cmd_record_go,
						 &rh_cmd_import,
						 &rh_cmd_gen,
						 &rh_cmd_info,
						 &rh_cmd_export,
						 &rh_cmd_cut,
						 &rh_cmd_replay,
						 &rh_cmd_matrix,
						 &rh_cmd_validate,
						 &rh_cmd_plot,
						 &rh_cmd_compare,
						 &rh_cmd_gate,
						 &rh_cmd_history,
						 &rh_cmd_fidelity,
						 &rh_cmd_whatif,
						 &rh_cmd_tour,
						 &rh_cmd_list,
						 &rh_cmd_doctor,
						 &rh_cmd_help,
						 &rh_cmd_calls,
						 &rh_cmd_complete,
						 NULL };

const struct rh_opt rh_common_opts[] = {
	{ "color", 0, RH_OPT_NAME, offsetof(struct rh_common, colour), .names = rh_colour_names,
	  .arg = "WHEN", .help = "colours in tables; auto: on a terminal" },
	{ "limit-memory", 0, RH_OPT_SIZE, offsetof(struct rh_common, limit), .min = 1 << 20,
	  .arg = "SIZE",
	  .help = "memory to read with (half of the machine's; less for small files)" },
	{ .name = NULL }
};
