/*
 * svg_tree.c - an SVG text as a tree of elements, as far as gnuplot writes one: tags, attributes in
 * either quote, text. No declarations, comments or CDATA: with those, or with tags that do not
 * match, there is no tree.
 */
#include <string.h>

#include "plots/figure/svg_tree.h"

enum { DEPTH_MAX = 64 };

struct reader {
	struct rh_pool *pool;
	const char *at;
	unsigned depth;
};

static const char space[] = " \t\r\n";

static char *copy(struct rh_pool *pool, const char *from, size_t bytes)
{
	char *text = rh_pool_alloc(pool, bytes + 1, 1);

	memcpy(text, from, bytes);
	return text;
}

const char *rh_svg_get(const struct rh_svg_node *node, const char *name)
{
	for (size_t i = 0; i < node->attr_count; i++)
		if (strcmp(node->attrs[i].name, name) == 0)
			return node->attrs[i].value;
	return NULL;
}

void rh_svg_set(struct rh_pool *pool, struct rh_svg_node *node, const char *name, const char *value)
{
	struct rh_svg_attr *attr;

	for (size_t i = 0; i < node->attr_count; i++)
		if (strcmp(node->attrs[i].name, name) == 0) {
			node->attrs[i].value = value;
			return;
		}
	attr = rh_pool_grow(pool, &node->attrs, &node->attr_count, sizeof(*attr));
	attr->name = name;
	attr->value = value;
}

bool rh_svg_is(const struct rh_svg_node *node, const char *name)
{
	return node->name && strcmp(node->name, name) == 0;
}

bool rh_svg_draws(const struct rh_svg_node *node)
{
	static const char *const names[] = { "circle",	"ellipse",  "image", "line", "path",
					     "polygon", "polyline", "rect",  "text", "use" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (rh_svg_is(node, names[i]))
			return true;
	return false;
}

/* What is written with its blanks. */
static bool holds_text(const struct rh_svg_node *node)
{
	static const char *const names[] = { "desc", "style", "text", "title", "tspan" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (rh_svg_is(node, names[i]))
			return true;
	return false;
}

static void add_child(struct reader *r, struct rh_svg_node *node, struct rh_svg_node *child)
{
	struct rh_svg_node **slot =
		rh_pool_grow(r->pool, &node->kids, &node->kid_count, sizeof(struct rh_svg_node *));

	*slot = child;
}

static bool read_attr(struct reader *r, struct rh_svg_node *node)
{
	size_t bytes = strcspn(r->at, "= \t\r\n<>\"'");
	const char *name = copy(r->pool, r->at, bytes), *end;

	r->at += bytes;
	r->at += strspn(r->at, space);
	if (!bytes || *r->at++ != '=')
		return false;
	r->at += strspn(r->at, space);
	if ((*r->at != '"' && *r->at != '\'') || !(end = strchr(r->at + 1, *r->at)))
		return false;
	rh_svg_set(r->pool, node, name, copy(r->pool, r->at + 1, (size_t)(end - r->at - 1)));
	r->at = end + 1;
	return true;
}

static struct rh_svg_node *read_element(struct reader *r);

/* Up to and with the closing tag. */
static bool read_inside(struct reader *r, struct rh_svg_node *node)
{
	size_t name_bytes = strlen(node->name);

	for (;;) {
		size_t bytes = strcspn(r->at, "<");
		struct rh_svg_node *child;

		if (bytes && (holds_text(node) || strspn(r->at, space) < bytes)) {
			child = rh_pool_alloc(r->pool, 1, sizeof(*child));
			child->text = copy(r->pool, r->at, bytes);
			add_child(r, node, child);
		}
		r->at += bytes;
		if (!*r->at)
			return false;
		if (r->at[1] == '/') {
			if (strncmp(r->at + 2, node->name, name_bytes) != 0 ||
			    r->at[2 + name_bytes] != '>')
				return false;
			r->at += 3 + name_bytes;
			return true;
		}
		child = read_element(r);
		if (!child)
			return false;
		add_child(r, node, child);
	}
}

static struct rh_svg_node *read_element(struct reader *r)
{
	struct rh_svg_node *node = rh_pool_alloc(r->pool, 1, sizeof(*node));
	size_t bytes = strcspn(r->at + 1, " \t\r\n/<>=\"'!?");
	bool inside;

	if (!bytes || r->depth == DEPTH_MAX)
		return NULL;
	node->name = copy(r->pool, r->at + 1, bytes);
	r->at += 1 + bytes;
	for (;;) {
		r->at += strspn(r->at, space);
		if (*r->at == '>' || strncmp(r->at, "/>", 2) == 0)
			break;
		if (!read_attr(r, node))
			return NULL;
	}
	inside = *r->at == '>';
	r->at += inside ? 1 : 2;
	r->depth++;
	if (inside && !read_inside(r, node))
		return NULL;
	r->depth--;
	return node;
}

struct rh_svg_node *rh_svg_read(struct rh_pool *pool, const char *svg)
{
	struct reader reader = { .pool = pool, .at = svg };
	struct rh_svg_node *root = NULL;

	reader.at += strspn(reader.at, space);
	if (strncmp(reader.at, "<svg", 4) == 0)
		root = read_element(&reader);
	return root && reader.at[strspn(reader.at, space)] == '\0' ? root : NULL;
}

void rh_svg_put_attr(const char *name, const char *value, FILE *to)
{
	char quote = strchr(value, '"') ? '\'' : '"';

	fprintf(to, " %s=%c%s%c", name, quote, value, quote);
}

void rh_svg_put_inside(const struct rh_svg_node *node, FILE *to)
{
	for (size_t i = 0; i < node->kid_count; i++)
		rh_svg_put(node->kids[i], to);
	fprintf(to, "</%s>", node->name);
}

void rh_svg_put(const struct rh_svg_node *node, FILE *to)
{
	if (node->text) {
		fputs(node->text, to);
		return;
	}
	fprintf(to, "<%s", node->name);
	for (size_t i = 0; i < node->attr_count; i++)
		if (node->attrs[i].value)
			rh_svg_put_attr(node->attrs[i].name, node->attrs[i].value, to);
	if (node->kid_count == 0) {
		fputs("/>", to);
		return;
	}
	fputc('>', to);
	rh_svg_put_inside(node, to);
}
