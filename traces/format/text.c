/*
 * text.c - see text.h. Numbers are printed and parsed by hand: through stdio a line
 * costs about a microsecond, this way a tenth of it.
 */
#include "traces/format/text.h"

#include <stdio.h>
#include <string.h>

#include "alloc/base/debug.h"

/* In the order of the bits of enum rh_event_flag: the index is the bit. The words are
 * file format and never change. */
static const char *const flag_words[] = { "zeroed", "noscan", "scan_known", "estimated",
					  "tiny",   "sized",  "realloc",    "new" };
enum { FLAG_COUNT = sizeof(flag_words) / sizeof(flag_words[0]) };
_Static_assert(RH_TRACE_FLAGS == (1 << FLAG_COUNT) - 1, "every flag has a word");

static const struct {
	const char *word;
	unsigned bit;
} columns_known[] = {
	/* Columns print in this order, so that a trace has one first line and not
	 * twenty-four. */
	{ "time", RH_COL_TIME },
	{ "task", RH_COL_TASK },
	{ "site", RH_COL_SITE },
	{ "arg", RH_COL_ARG },
};
enum { COLUMN_COUNT = sizeof(columns_known) / sizeof(columns_known[0]) };

/* ---- printing ---- */

char *rh_text_print_u64(char *at, uint64_t value)
{
	/* 2^64 - 1 has 20 digits. */
	char digits[20];
	int count = 0;

	do {
		digits[count++] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	while (count)
		*at++ = digits[--count];
	return at;
}

static char *print_word(char *at, const char *word)
{
	size_t bytes = strlen(word);

	memcpy(at, word, bytes);
	return at + bytes;
}

/* Keys in one order, whoever prints: two traces of the same events are the same
 * bytes, and diff shows what differs. */
static char *print_pair(char *at, const char *key, uint64_t value)
{
	*at++ = ' ';
	at = print_word(at, key);
	*at++ = '=';
	return rh_text_print_u64(at, value);
}

static char *print_flags(char *at, unsigned flags)
{
	const char *before = " flags=";

	rh_debug_assert((flags & ~(unsigned)RH_TRACE_FLAGS) == 0); /* they have no word */
	for (int i = 0; i < FLAG_COUNT; i++) {
		if (!(flags >> i & 1))
			continue;
		at = print_word(at, before);
		at = print_word(at, flag_words[i]);
		before = ",";
	}
	return at;
}

char *rh_text_print(char *at, const struct rh_event *event, const struct rh_order *order)
{
	const char *start = at;
	/* Optional fields are left out when absent: in text nothing stands for
	 * RH_NONE. */
	unsigned fields = order->fields[event->kind];

	at = print_word(at, rh_event_rows[event->kind].word);
	at = print_pair(at, "lane", event->lane);
	if (event->id != RH_NONE)
		at = print_pair(at, "id", event->id);
	if (event->old != RH_NONE)
		at = print_pair(at, "old", event->old);
	if (fields & RH_FIELD_SIZE && event->size != RH_NONE &&
	    (event->kind != RH_EV_FREE || event->flags & RH_EVF_SIZED))
		at = print_pair(at, "size", event->size);
	/* In bytes, as people name alignments: a trace as text is written for them. */
	if (event->align_log2)
		at = print_pair(at, "align", 1ull << event->align_log2);
	at = print_flags(at, event->flags);
	if (event->arg != RH_NONE)
		at = print_pair(at, "arg", event->arg);
	if (event->time_ns != RH_NONE)
		at = print_pair(at, "time", event->time_ns);
	if (event->task != RH_TASK_NONE)
		at = print_pair(at, "task", event->task);
	if (event->site != RH_SITE_NONE)
		at = print_pair(at, "site", event->site);
	*at++ = '\n';
	/* Callers make room for the longest line before, so nothing here looks at an
	 * end. */
	rh_debug_assert(at - start <= RH_TEXT_EVENT_MAX);
	return at;
}

/* Without columns the key is left out, since `columns=` with nothing behind it would
 * be a second way to write the same. */
char *rh_text_print_head(char *at, unsigned columns)
{
	const char *before = " columns=";

	at = print_word(at, RH_TEXT_MAGIC " ");
	at = rh_text_print_u64(at, RH_TRACE_VERSION);
	for (int i = 0; i < COLUMN_COUNT; i++) {
		if (!(columns & columns_known[i].bit))
			continue;
		at = print_word(at, before);
		at = print_word(at, columns_known[i].word);
		before = ",";
	}
	*at++ = '\n';
	return at;
}

/* Only what would end or change a line: names in UTF-8 stay readable, and the file
 * stays one that grep finds them in. */
char *rh_text_escape(char *at, const char *text, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		char c = text[i];

		/* \r too: the reader takes it off the end of a line, for files from
		 * Windows, and would lose it from a name. */
		if (c == '\n' || c == '\r' || c == '\\') {
			*at++ = '\\';
			c = c == '\n' ? 'n' : c == '\r' ? 'r' : '\\';
		}
		*at++ = c;
	}
	return at;
}

/* ---- parsing ---- */

/* In place, because the result is never longer. */
long rh_text_unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from; from++) {
		char c = *from;

		if (c == '\\') {
			c = *++from;
			/* An escape that is not known may mean something in a later
			 * version: refused rather than guessed. A backslash at the
			 * end finds the NUL and is refused as well. */
			if (c != 'n' && c != 'r' && c != '\\')
				return -1;
			c = c == 'n' ? '\n' : c == 'r' ? '\r' : '\\';
		}
		*to++ = c;
	}
	*to = '\0';
	return to - text;
}

bool rh_text_parse_u64(const char *word, uint64_t *value)
{
	uint64_t v = 0;

	if (!*word)
		return false;
	for (; *word; word++) {
		unsigned digit = (unsigned)(*word - '0');

		/* Nothing but digits: strtoull takes signs, blanks and a locale's
		 * rules. 2^64 and more is refused, not cut. */
		if (digit > 9 || v > UINT64_MAX / 10 || v * 10 > UINT64_MAX - digit)
			return false;
		v = v * 10 + digit;
	}
	*value = v;
	return true;
}

/* The next word of a line, cut out; NULL at its end. Changes the line: cutting words out of it
 * costs no copy, and a line is read once. */
static char *next_word(char **at)
{
	char *word = *at, *end;

	/* Words are short: a call of strcspn() costs more than the walk. */
	while (*word == ' ' || *word == '\t')
		word++;
	for (end = word; *end && *end != ' ' && *end != '\t'; end++)
		;
	if (!*word)
		return NULL;
	*at = *end ? end + 1 : end;
	*end = '\0';
	return word;
}

/* A clause without file and line: the reader puts those in front, and tests of the
 * parser need neither. */
static bool refuse(struct rh_order *order, const char *what, const char *word)
{
	/* 60 bytes of the word: it may be the whole of a long line. */
	snprintf(order->why, sizeof(order->why), "%s '%.60s'", what, word);
	return false;
}

/* Cuts word at each comma; false at the first name that bit_of does not know. By a function for
 * the bit, so that flags and columns share the cutting at commas and the name of the unknown
 * one. */
static bool parse_names(char *list, int (*bit_of)(const char *name), unsigned *bits,
			const char **unknown)
{
	*bits = 0;
	for (char *name = list, *end; name; name = end) {
		int bit;

		end = strchr(name, ',');
		if (end)
			*end++ = '\0';
		bit = bit_of(name);
		if (bit < 0) {
			*unknown = name;
			return false;
		}
		*bits |= 1u << bit;
	}
	return true;
}

/* A walk of six words is shorter than a hash of one. */
static int flag_bit(const char *name)
{
	for (int i = 0; i < FLAG_COUNT; i++)
		if (strcmp(name, flag_words[i]) == 0)
			return i;
	return -1;
}

static int column_bit(const char *name)
{
	for (int i = 0; i < COLUMN_COUNT; i++)
		if (strcmp(name, columns_known[i].word) == 0)
			return __builtin_ctz(columns_known[i].bit);
	return -1;
}

/* In the order in which they are printed, so that the first missing key is the one
 * that a reader expects next. */
enum key { LANE, ID, OLD, SIZE, ALIGN, FLAGS, ARG, TIME, TASK, SITE, KEY_COUNT };
static const char *const key_words[KEY_COUNT] = {
	"lane", "id", "old", "size", "align", "flags", "arg", "time", "task", "site",
};
_Static_assert(KEY_COUNT <= 8 * sizeof(unsigned), "a bit for every key");

static int key_of(const char *word)
{
	for (int key = 0; key < KEY_COUNT; key++)
		if (*word == *key_words[key] && strcmp(word, key_words[key]) == 0)
			return key;
	return -1;
}

bool rh_text_begins_key(const char *text, size_t bytes)
{
	for (int key = 0; key < KEY_COUNT; key++) {
		size_t whole = strlen(key_words[key]);

		if (bytes == whole + 1
			    ? text[whole] == '=' && memcmp(text, key_words[key], whole) == 0
			    : bytes <= whole && memcmp(text, key_words[key], bytes) == 0)
			return true;
	}
	return false;
}

size_t rh_text_event_bytes(const char *line)
{
	size_t end = strcspn(line, " \t");

	for (;;) {
		const char *word = line + end + strspn(line + end, " \t");
		size_t bytes = strcspn(word, " \t="), key = 0;

		/* What broke off in a key is torn, not foreign. */
		while (key < KEY_COUNT && strncmp(key_words[key], word, bytes) != 0)
			key++;
		if (bytes == 0 || key == KEY_COUNT || (word[bytes] == '=' && key_words[key][bytes]))
			return end;
		end = (size_t)(word - line) + strcspn(word, " \t");
	}
}

/* Keys that a kind has in a trace with these columns, as bits. Derived from the rows of
 * event.h: a new kind of event is read without a line here. */
static unsigned keys_of(const struct rh_order *order, int kind)
{
	unsigned fields, columns = order->columns, keys = 1u << LANE;

	rh_debug_assert(kind >= 0 && kind < RH_EV_COUNT);
	fields = order->fields[kind];
	if (fields &
	    (RH_FIELD_BORN | RH_FIELD_DIES | RH_FIELD_TASK | RH_FIELD_NUMBER | RH_FIELD_LIVES))
		keys |= 1u << ID;
	if ((fields & RH_FIELD_BORN) && (fields & RH_FIELD_DIES))
		keys |= 1u << OLD;
	keys |= fields & RH_FIELD_SIZE ? 1u << SIZE : 0;
	keys |= fields & RH_FIELD_ALIGN ? 1u << ALIGN : 0;
	keys |= fields & RH_FIELD_FLAGS ? 1u << FLAGS : 0;
	keys |= fields & RH_FIELD_ARG && columns & RH_COL_ARG ? 1u << ARG : 0;
	keys |= columns & RH_COL_TIME ? 1u << TIME : 0;
	keys |= columns & RH_COL_TASK ? 1u << TASK : 0;
	keys |= columns & RH_COL_SITE ? 1u << SITE : 0;
	return keys;
}

static bool set_number(struct rh_event *event, int key, uint64_t value)
{
	switch (key) {
	case LANE:
		event->lane = (uint32_t)value;
		return value <= UINT32_MAX;
	/* The largest number is RH_TASK_NONE, which text expresses by leaving the key
	 * out. */
	case TASK:
		event->task = (uint32_t)value;
		return value < RH_TASK_NONE;
	case SITE:
		event->site = (uint32_t)value;
		return value <= UINT32_MAX;
	/* A value of 3 would be rounded by the field, and a trace that is written
	 * again would differ. */
	case ALIGN:
		event->align_log2 = value ? (uint8_t)__builtin_ctzll(value) : 0;
		return value && (value & (value - 1)) == 0;
	case ID:
		event->id = value;
		break;
	case OLD:
		event->old = value;
		break;
	case SIZE:
		event->size = value;
		break;
	case ARG:
		event->arg = value;
		break;
	case TIME:
		event->time_ns = value;
		break;
	}
	/* "absent" has no number in text. */
	return value != RH_NONE;
}

/* Values are checked for range here and for sense in order.c, so text and binary
 * refuse the same events. */
static bool set_key(struct rh_order *order, struct rh_event *event, int key, char *text)
{
	const char *unknown;
	uint64_t value;
	unsigned bits;

	if (key == FLAGS) {
		if (!parse_names(text, flag_bit, &bits, &unknown))
			return refuse(order, "there is no flag", unknown);
		event->flags = (uint16_t)bits;
		return true;
	}
	if (!rh_text_parse_u64(text, &value) || !set_number(event, key, value)) {
		snprintf(order->why, sizeof(order->why), "'%.40s' is no value for %s%s", text,
			 key_words[key], key == ALIGN ? " (a power of two)" : "");
		return false;
	}
	return true;
}

/* What must be there, and the numbers of births and spawns, which may be left out:
 * traces written by hand are easier to get right so. */
static bool complete(struct rh_order *order, struct rh_event *event, unsigned given)
{
	unsigned fields = order->fields[event->kind], need = 1u << LANE;

	if (fields & RH_FIELD_BORN)
		need |= 1u << SIZE | (fields & RH_FIELD_DIES ? 1u << OLD : 0);
	else if (fields & (RH_FIELD_DIES | RH_FIELD_TASK | RH_FIELD_LIVES) &&
		 event->kind != RH_EV_SPAWN)
		need |= 1u << ID;
	if (event->kind == RH_EV_FREE && event->flags & RH_EVF_SIZED)
		need |= 1u << SIZE;
	need &= ~given;
	if (need)
		return refuse(order, "it lacks", key_words[__builtin_ctz(need)]);
	/* The size of a free says that it was sized; the flag need not be written
	 * too. */
	if (event->kind == RH_EV_FREE && given & 1u << SIZE)
		event->flags |= RH_EVF_SIZED;
	if (given & 1u << ID)
		return true;
	/* The only number that is legal here: order.c compares it all the same. */
	if (fields & RH_FIELD_BORN)
		event->id = rh_live_births(order->objects);
	else if (event->kind == RH_EV_SPAWN)
		event->id = order->totals.tasks + 1;
	return true;
}

/* Keys first, values then, the whole last: each message names the first thing that is
 * wrong with the line. */
bool rh_text_parse(char *line, struct rh_order *order, struct rh_event *event)
{
	char *word = next_word(&line), *value;
	unsigned keys, given = 0;
	int kind, key;

	kind = word ? rh_kind_of(word) : -1;
	if (kind < 0)
		return refuse(order, "there is no event", word ? word : "");
	/* Absent until the line says otherwise: 0 is a value for most of these. */
	*event = (struct rh_event){
		.time_ns = RH_NONE,
		.id = RH_NONE,
		.old = RH_NONE,
		.arg = RH_NONE,
		.task = RH_TASK_NONE,
		.kind = (uint8_t)kind,
	};
	keys = keys_of(order, kind);
	if (order->fields[kind] & RH_FIELD_SIZE)
		event->size = RH_NONE;
	while ((word = next_word(&line))) {
		value = strchr(word, '=');
		if (!value)
			return refuse(order, "this is not KEY=VALUE:", word);
		*value++ = '\0';
		key = key_of(word);
		if (key < 0)
			return refuse(order, "there is no key", word);
		/* A key that the kind or the columns do not have: it
		 * would be dropped without a word, and a typo with it. */
		if (!(keys >> key & 1))
			return refuse(order, "this event of this trace has no", word);
		if (given >> key & 1)
			return refuse(order, "it says twice", word);
		given |= 1u << key;
		if (!set_key(order, event, key, value))
			return false;
	}
	return complete(order, event, given);
}

bool rh_text_parse_head(char *line, unsigned *columns, unsigned *version, char *why,
			size_t why_bytes)
{
	char *word = next_word(&line);
	const char *unknown;
	uint64_t number = 0;

	*columns = *version = 0;
	if (!word || strcmp(word, RH_TEXT_MAGIC) != 0 || !(word = next_word(&line)) ||
	    !rh_text_parse_u64(word, &number) || number > UINT32_MAX) {
		snprintf(why, why_bytes,
			 "it is not a trace: it neither has the binary magic nor "
			 "starts with the line '" RH_TEXT_MAGIC " %d' (foreign traces: reheap "
			 "import)",
			 RH_TRACE_VERSION);
		return false;
	}
	*version = (unsigned)number;
	word = next_word(&line);
	/* Of another version nothing behind the number can be judged; the caller
	 * names the version, which helps more than a column that is unknown. */
	if (!word || *version != RH_TRACE_VERSION)
		return true;
	if (strncmp(word, "columns=", 8) != 0 ||
	    !parse_names(word + 8, column_bit, columns, &unknown)) {
		snprintf(why, why_bytes,
			 "its first line has columns that are unknown (known: "
			 "time, task, site, arg)");
		return false;
	}
	return true;
}
