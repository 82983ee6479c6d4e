/*
 * commands.c - the table of commands, in order of help: how a trace comes in, what can be
 * done with it, replaying it, telling about it.
 */
#include "harness/command.h"

extern const struct rh_command rh_cmd_calls, rh_cmd_compare, rh_cmd_cut, rh_cmd_doctor,
	rh_cmd_export, rh_cmd_fidelity, rh_cmd_gate, rh_cmd_gen, rh_cmd_help, rh_cmd_history,
	rh_cmd_import, rh_cmd_info, rh_cmd_list, rh_cmd_plot, rh_cmd_record, rh_cmd_record_go,
	rh_cmd_replay;

const struct rh_command *const rh_commands[] = {
	&rh_cmd_record,
	&rh_cmd_record_go,
	&rh_cmd_import,
	&rh_cmd_gen,
	&rh_cmd_info,
	&rh_cmd_export,
	&rh_cmd_cut,
	&rh_cmd_replay,
	&rh_cmd_plot,
	&rh_cmd_compare,
	&rh_cmd_gate,
	&rh_cmd_history,
	&rh_cmd_fidelity,
	&rh_cmd_list,
	&rh_cmd_doctor,
	&rh_cmd_help,
	&rh_cmd_calls,
	NULL
};
