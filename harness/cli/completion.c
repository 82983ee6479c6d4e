/*
 * completion.c - the files that a shell loads to complete reheap's words. They hold no words
 * themselves: each passes the line up to the cursor to `reheap complete` (complete.c) and
 * offers its output, or files when there is none.
 */
#include "harness/cli/usage.h"

/* bash also splits words at = and : (COMP_WORDBREAKS) and replaces only the last piece, so the text
 * before that piece is removed from each candidate. What was typed may be ~/bin/reheap, or an alias
 * that the user completes the same way. */
static const char bash_text[] = "# bash completion for reheap\n"
				"_reheap()\n{\n"
				"\tlocal line=${COMP_LINE:0:COMP_POINT} candidate\n"
				"\tlocal piece=${COMP_WORDS[COMP_CWORD]} word=${line##* }\n"
				"\t[[ $piece == [=:] ]] && piece=\n"
				"\tlocal before=${word%\"$piece\"}\n"
				"\tlocal command=${COMP_WORDS[0]/#\\~/$HOME}\n"
				"\t[[ $(type -t \"$command\") == f* ]] || command=reheap\n"
				"\tCOMPREPLY=()\n"
				"\twhile IFS= read -r candidate; do\n"
				"\t\t[[ $candidate == *[=:] ]] && compopt -o nospace 2>/dev/null\n"
				"\t\tCOMPREPLY+=(\"${candidate#\"$before\"}\")\n"
				"\tdone < <(\"$command\" complete \"$line\" 2>/dev/null)\n"
				"}\n"
				"complete -o default -F _reheap reheap\n";

/* Of a longer line (after && or sudo) zsh gives the words of this command. */
static const char zsh_text[] =
	"#compdef reheap\n"
	"# zsh completion for reheap\n"
	"_reheap()\n{\n"
	"\tlocal -a candidates\n"
	"\tlocal command=${words[1]/#\\~/$HOME} line=\"${(j: :)words[1,CURRENT-1]} $PREFIX\"\n"
	"\twhence -p -- $command >/dev/null || command=reheap\n"
	"\tcandidates=(${(f)\"$($command complete \"$line\" 2>/dev/null)\"})\n"
	"\tif (( $#candidates )); then\n"
	"\t\tcompadd -S '' -a candidates\n"
	"\telse\n"
	"\t\t_files\n"
	"\tfi\n"
	"}\n"
	"if [ \"$funcstack[1]\" = _reheap ]; then\n\t_reheap \"$@\"\nelse\n"
	"\tcompdef _reheap reheap\nfi\n";

static const char fish_text[] = "# fish completion for reheap\n"
				"function __reheap_candidates\n"
				"\tset -l found (reheap complete (commandline -cp) 2>/dev/null)\n"
				"\tif test (count $found) -gt 0\n"
				"\t\tprintf '%s\\n' $found\n"
				"\telse\n"
				"\t\t__fish_complete_path (commandline -ct)\n"
				"\tend\n"
				"end\n"
				"complete -c reheap -f -a '(__reheap_candidates)'\n";

const char *const rh_shells[] = { "none", "bash", "zsh", "fish", NULL };

void rh_help_completion(enum rh_shell shell, FILE *to)
{
	static const char *const texts[] = {
		[RH_SHELL_NONE] = "",
		[RH_SHELL_BASH] = bash_text,
		[RH_SHELL_ZSH] = zsh_text,
		[RH_SHELL_FISH] = fish_text,
	};

	fputs(texts[shell], to);
}
