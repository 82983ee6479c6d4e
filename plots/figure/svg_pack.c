/*
 * svg_pack.c - the same picture in fewer bytes (svg_pack.h).
 *
 * gnuplot opens a group with all its pens for each change of one, and says font and colour at each
 * word: of a figure of 60 KB a fifth is what is drawn.
 *
 *	1  read the tree (svg_tree.c)
 *	2  flatten: what an element inherits (PROPS) moves to the elements that draw; groups that
 *	   then say nothing are gone
 *	3  looks: equal sets of properties that are no different from the root's get a class
 *	4  print: style first, paths short (svg_path.c), only symbols that are used
 *
 * Exact but for a tenth of a pixel: a property is left out only where the root hands down the same.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "plots/figure/svg_pack.h"
#include "plots/figure/svg_tree.h"
#include "harness/result/pool.h"

enum { CLASS_FROM = 3 }; /* as many elements that look alike are worth a class */

enum {
	COLOR,
	FILL,
	FILL_OPACITY,
	FONT_FAMILY,
	FONT_SIZE,
	FONT_STYLE,
	FONT_WEIGHT,
	SHAPE_RENDERING,
	STROKE,
	STROKE_DASHARRAY,
	STROKE_LINECAP,
	STROKE_LINEJOIN,
	STROKE_OPACITY,
	STROKE_WIDTH,
	TEXT_ANCHOR,
	PROPS
};

enum { OF_TEXT = 1, OF_SHAPE = 2, OF_STROKE = 4, OF_ANY = OF_TEXT | OF_SHAPE };

static const struct {
	const char *name, *initial; /* NULL = what stands around the figure */
	int of;			    /* OF_STROKE: means nothing without a stroke */
} props[PROPS] = {
	[COLOR] = { "color", NULL, OF_ANY },
	[FILL] = { "fill", "black", OF_ANY },
	[FILL_OPACITY] = { "fill-opacity", "1", OF_ANY },
	[FONT_FAMILY] = { "font-family", NULL, OF_TEXT },
	[FONT_SIZE] = { "font-size", NULL, OF_TEXT },
	[FONT_STYLE] = { "font-style", "normal", OF_TEXT },
	[FONT_WEIGHT] = { "font-weight", "normal", OF_TEXT },
	[SHAPE_RENDERING] = { "shape-rendering", "auto", OF_SHAPE },
	[STROKE] = { "stroke", "none", OF_ANY },
	[STROKE_DASHARRAY] = { "stroke-dasharray", "none", OF_ANY | OF_STROKE },
	[STROKE_LINECAP] = { "stroke-linecap", "butt", OF_ANY | OF_STROKE },
	[STROKE_LINEJOIN] = { "stroke-linejoin", "miter", OF_ANY | OF_STROKE },
	[STROKE_OPACITY] = { "stroke-opacity", "1", OF_ANY | OF_STROKE },
	[STROKE_WIDTH] = { "stroke-width", "1", OF_ANY | OF_STROKE },
	[TEXT_ANCHOR] = { "text-anchor", "start", OF_TEXT },
};

/* How elements look, as the declarations of a style. */
struct look {
	const char *css;
	size_t used;
};

/* What is printed, in this order; a group has items of its own. */
struct item {
	struct rh_svg_node *node;
	const char *props[PROPS];
	bool drawn, group;
	struct item *items;
	size_t item_count;
	size_t look;
};

struct pack {
	struct rh_pool *pool;
	FILE *to;
	const char *id; /* of the figure */
	const char *root[PROPS];
	const char **named; /* ids that something refers to */
	size_t named_count;
	struct look *looks;
	size_t look_count;
	bool tips;
};

/* ---- values ---- */

/* rgb(128, 128, 128) is #808080. */
static const char *short_color(struct pack *pack, const char *value)
{
	unsigned r, g, b;
	char end;

	if (sscanf(value, "rgb( %3u , %3u , %3u %c", &r, &g, &b, &end) != 4 || end != ')' ||
	    r > 255 || g > 255 || b > 255)
		return value;
	return rh_pool_printf(pack->pool, "#%02x%02x%02x", r, g, b);
}

static const char *short_prop(struct pack *pack, int prop, const char *value)
{
	switch (prop) {
	case COLOR:
	case FILL:
	case STROKE:
		return short_color(pack, value);
	case FILL_OPACITY:
	case FONT_SIZE:
	case STROKE_DASHARRAY:
	case STROKE_OPACITY:
	case STROKE_WIDTH:
		return rh_svg_numbers(pack->pool, value, 2);
	default:
		return value;
	}
}

static int prop_of(const char *name)
{
	for (int p = 0; p < PROPS; p++)
		if (strcmp(props[p].name, name) == 0)
			return p;
	return -1;
}

/* Moves what the node hands down out of its attributes. */
static void take_props(struct pack *pack, struct rh_svg_node *node, const char **own)
{
	const char *class = rh_svg_get(node, "class");

	for (size_t i = 0; i < node->attr_count; i++) {
		int prop = prop_of(node->attrs[i].name);

		if (prop < 0 || !node->attrs[i].value)
			continue;
		own[prop] = short_prop(pack, prop, node->attrs[i].value);
		node->attrs[i].value = NULL;
	}
	/* the figure's style colours these */
	if (class && (strcmp(class, "quiet") == 0 || strcmp(class, "page") == 0))
		own[FILL] = NULL;
	/* a name for gnuplot's own script */
	if (class && strcmp(class, "gridline") == 0)
		rh_svg_set(pack->pool, node, "class", NULL);
}

/* ---- what refers to what ---- */

static void add_name(struct pack *pack, const char *from, size_t bytes)
{
	const char **slot =
		rh_pool_grow(pack->pool, &pack->named, &pack->named_count, sizeof(const char *));

	*slot = rh_pool_printf(pack->pool, "%.*s", (int)bytes, from);
}

static bool is_named(const struct pack *pack, const char *id)
{
	for (size_t i = 0; id && i < pack->named_count; i++)
		if (strcmp(pack->named[i], id) == 0)
			return true;
	return false;
}

static void names_in(struct pack *pack, const struct rh_svg_node *node)
{
	for (size_t i = 0; i < node->attr_count; i++) {
		const char *value = node->attrs[i].value, *hash = strchr(value, '#');

		if (hash && (hash == value || hash[-1] == '('))
			if (!is_named(pack, hash + 1))
				add_name(pack, hash + 1, strcspn(hash + 1, ")"));
	}
	for (size_t i = 0; i < node->kid_count; i++)
		if (!node->kids[i]->text && !rh_svg_is(node->kids[i], "defs"))
			names_in(pack, node->kids[i]);
}

/* Symbols that name others keep them; the others without a name go. */
static void keep_named(struct pack *pack, struct rh_svg_node *defs)
{
	bool *kept = rh_pool_alloc(pack->pool, defs->kid_count + 1, sizeof(*kept));
	size_t count = 0;
	bool more = true;

	while (more) {
		more = false;
		for (size_t i = 0; i < defs->kid_count; i++) {
			const struct rh_svg_node *kid = defs->kids[i];

			if (kept[i] || (!kid->text && !is_named(pack, rh_svg_get(kid, "id"))))
				continue;
			kept[i] = more = true;
			if (!kid->text)
				names_in(pack, kid);
		}
	}
	for (size_t i = 0; i < defs->kid_count; i++)
		if (kept[i])
			defs->kids[count++] = defs->kids[i];
	defs->kid_count = count;
}

/* ---- flattening ---- */

static void shorten(struct pack *pack, struct rh_svg_node *node)
{
	bool polygon = rh_svg_is(node, "polygon");
	const char *points = rh_svg_get(node, polygon ? "points" : "d");
	const char *d = points ? rh_svg_path(pack->pool, points, polygon) : NULL;

	if (d && polygon) {
		node->name = "path";
		rh_svg_set(pack->pool, node, "points", NULL);
	}
	if (d)
		rh_svg_set(pack->pool, node, "d", d);
	for (size_t i = 0; i < node->attr_count; i++) {
		static const char *const numbers[] = { "cx",	  "cy", "height",
						       "opacity", "r",	"transform",
						       "width",	  "x",	"y" };
		const char *value = node->attrs[i].value;

		for (size_t n = 0; value && n < sizeof(numbers) / sizeof(numbers[0]); n++)
			if (strcmp(node->attrs[i].name, numbers[n]) == 0)
				node->attrs[i].value =
					rh_svg_numbers(pack->pool, value,
						       n == 3 || strstr(value, "scale") ? 2 : 1);
	}
	if (rh_svg_is(node, "text") && node->kid_count && node->kids[0]->text &&
	    !rh_svg_get(node, "xml:space"))
		node->kids[0]->text += strspn(node->kids[0]->text, " ");
}

/* Nothing to see: a path without lines, a word without letters, and the white disc that gnuplot
 * lays behind a mark with whiskers, a ring around it on a dark page. */
static bool is_empty(const struct rh_svg_node *node, const char *color)
{
	const char *d = rh_svg_get(node, "d");

	return (d && !*d) || (rh_svg_is(node, "text") && node->kid_count == 0) ||
	       (rh_svg_is(node, "use") && color && strcmp(color, "white") == 0);
}

static size_t attrs_left(const struct rh_svg_node *node)
{
	size_t count = 0;

	for (size_t i = 0; i < node->attr_count; i++)
		count += node->attrs[i].value != NULL;
	return count;
}

/* <g class="tip"><title/><use transform="translate(x,y) scale(s)" opacity="0.00"/></g>, a mark that
 * only the pointer finds, is a circle. */
static bool circle_of(struct pack *pack, struct rh_svg_node *g)
{
	const char *class = rh_svg_get(g, "class"), *transform, *opacity;
	struct rh_svg_node *use;
	double x, y, r;

	if (!class || strcmp(class, "tip") != 0 || g->kid_count != 2 ||
	    !rh_svg_is(g->kids[0], "title") || !rh_svg_is(g->kids[1], "use"))
		return false;
	use = g->kids[1];
	transform = rh_svg_get(use, "transform");
	opacity = rh_svg_get(use, "opacity");
	if (!transform || !opacity || strtod(opacity, NULL) > 0 ||
	    sscanf(transform, "translate(%lf,%lf) scale(%lf)", &x, &y, &r) != 3)
		return false;
	g->name = "circle";
	rh_svg_set(pack->pool, g, "opacity", "0");
	rh_svg_set(pack->pool, g, "cx", rh_pool_printf(pack->pool, "%.1f", x));
	rh_svg_set(pack->pool, g, "cy", rh_pool_printf(pack->pool, "%.1f", y));
	rh_svg_set(pack->pool, g, "r", rh_pool_printf(pack->pool, "%.1f", r));
	g->kid_count = 1;
	pack->tips = true;
	return true;
}

/* Class and place of a group of one go to that one. */
static bool hand_down(struct pack *pack, struct rh_svg_node *g)
{
	struct rh_svg_node *kid = g->kid_count == 1 ? g->kids[0] : NULL;

	if (!kid || kid->text || !(rh_svg_draws(kid) || rh_svg_is(kid, "g")))
		return false;
	for (size_t i = 0; i < g->attr_count; i++) {
		const struct rh_svg_attr *attr = &g->attrs[i];

		if (attr->value && strcmp(attr->name, "transform") != 0 &&
		    (strcmp(attr->name, "class") != 0 || rh_svg_get(kid, "class")))
			return false;
	}
	for (size_t i = 0; i < g->attr_count; i++) {
		const char *has = rh_svg_get(kid, g->attrs[i].name);

		if (g->attrs[i].value)
			rh_svg_set(pack->pool, kid, g->attrs[i].name,
				   has ? rh_pool_printf(pack->pool, "%s %s", g->attrs[i].value, has)
				       : g->attrs[i].value);
	}
	return true;
}

static struct item *add_item(struct pack *pack, struct item *to, struct rh_svg_node *node,
			     const char *const *own)
{
	struct item *item = rh_pool_grow(pack->pool, &to->items, &to->item_count, sizeof(*item));

	item->node = node;
	memcpy(item->props, own, sizeof(item->props));
	return item;
}

static void flatten(struct pack *pack, struct rh_svg_node *node, const char *const *inherited,
		    struct item *to)
{
	const char *own[PROPS], *id = node->text ? NULL : rh_svg_get(node, "id");
	bool tip;

	memcpy(own, inherited, sizeof(own));
	if (node->text || !(rh_svg_draws(node) || rh_svg_is(node, "g"))) {
		if (rh_svg_is(node, "defs"))
			keep_named(pack, node);
		if (!rh_svg_is(node, "defs") || node->kid_count)
			add_item(pack, to, node, own);
		return;
	}
	take_props(pack, node, own);
	if (id && !is_named(pack, id))
		rh_svg_set(pack->pool, node, "id", NULL);
	tip = circle_of(pack, node);
	if (tip || rh_svg_draws(node)) {
		shorten(pack, node);
		if (tip)
			memcpy(own, pack->root, sizeof(own));
		if (!is_empty(node, own[COLOR]))
			add_item(pack, to, node, own)->drawn = true;
		return;
	}
	if (attrs_left(node) && !hand_down(pack, node)) {
		/* the list may move while it grows: the group is made apart, then added */
		struct item group = { 0 };

		for (size_t i = 0; i < node->kid_count; i++)
			flatten(pack, node->kids[i], own, &group);
		if (group.item_count) {
			struct item *item = add_item(pack, to, node, own);

			item->group = true;
			item->items = group.items;
			item->item_count = group.item_count;
		}
		return;
	}
	for (size_t i = 0; i < node->kid_count; i++)
		flatten(pack, node->kids[i], own, to);
}

/* ---- looks ---- */

static bool differs(const char *a, const char *b)
{
	return a != b && (!a || !b || strcmp(a, b) != 0);
}

/* Whether the property shows at this element, and the root does not hand it down. */
static bool shows_at(const struct pack *pack, const struct item *item, int p)
{
	bool text = rh_svg_is(item->node, "text"), use = rh_svg_is(item->node, "use");
	const char *stroke = item->props[STROKE], *fill = item->props[FILL];

	if (!item->props[p] || !differs(item->props[p], pack->root[p]))
		return false;
	if (use)
		return props[p].of & OF_SHAPE;
	if (!(props[p].of & (text ? OF_TEXT : OF_SHAPE)))
		return false;
	if ((props[p].of & OF_STROKE) && stroke && strcmp(stroke, "none") == 0)
		return false;
	if (p == FILL_OPACITY && fill && strcmp(fill, "none") == 0)
		return false;
	return p != COLOR || (fill && strcmp(fill, "currentColor") == 0) ||
	       (stroke && strcmp(stroke, "currentColor") == 0);
}

/* A value that can stand in a style as it is. */
static bool is_plain(const char *value)
{
	return value[strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				   " #.,()%-")] == '\0';
}

static const char *css_of(struct pack *pack, const struct item *item)
{
	const char *css = "";

	for (int p = 0; p < PROPS; p++) {
		const char *value = item->props[p];

		if (!shows_at(pack, item, p))
			continue;
		if (!is_plain(value))
			return NULL;
		css = rh_pool_printf(
			pack->pool, "%s%s%s:%s%s", css, *css ? ";" : "", props[p].name, value,
			p == FONT_SIZE && isdigit((unsigned char)value[strlen(value) - 1]) ? "px"
											   : "");
	}
	return css;
}

#define NO_LOOK ((size_t)-1)

static void find_looks(struct pack *pack, struct item *list)
{
	for (size_t i = 0; i < list->item_count; i++) {
		struct item *item = &list->items[i];
		const char *css = item->drawn ? css_of(pack, item) : NULL;
		size_t look = 0;

		find_looks(pack, item);
		item->look = NO_LOOK;
		if (!css || !*css)
			continue;
		while (look < pack->look_count && strcmp(pack->looks[look].css, css) != 0)
			look++;
		if (look == pack->look_count)
			((struct look *)rh_pool_grow(pack->pool, &pack->looks, &pack->look_count,
						     sizeof(struct look)))
				->css = css;
		pack->looks[look].used++;
		item->look = look;
	}
}

/* ---- printing ---- */

static void put_style(const struct pack *pack)
{
	if (pack->tips)
		fprintf(pack->to, "#%s .tip{pointer-events:all}", pack->id);
	for (size_t i = 0; i < pack->look_count; i++)
		if (pack->looks[i].used >= CLASS_FROM)
			fprintf(pack->to, "#%s .k%zu{%s}", pack->id, i, pack->looks[i].css);
}

static void put_attrs(const struct pack *pack, const struct item *item)
{
	const struct rh_svg_node *node = item->node;
	bool class = item->look != NO_LOOK && pack->looks[item->look].used >= CLASS_FROM;
	const char *named = rh_svg_get(node, "class");

	if (class)
		fprintf(pack->to, " class=\"%s%sk%zu\"", named ? named : "", named ? " " : "",
			item->look);
	for (size_t i = 0; i < node->attr_count; i++)
		if (node->attrs[i].value && !(class && strcmp(node->attrs[i].name, "class") == 0))
			rh_svg_put_attr(node->attrs[i].name, node->attrs[i].value, pack->to);
	for (int p = 0; p < PROPS && item->drawn && !class; p++)
		if (shows_at(pack, item, p))
			rh_svg_put_attr(props[p].name, item->props[p], pack->to);
}

/* A line that looks as the one before goes on in its path. */
static bool goes_on(const struct item *before, const struct item *item)
{
	const char *fill = item->props[FILL], *through = item->props[STROKE_OPACITY];

	return before->drawn && item->drawn && before->look == item->look &&
	       item->look != NO_LOOK && fill && strcmp(fill, "none") == 0 &&
	       strcmp(through, "1") == 0 && rh_svg_is(before->node, "path") &&
	       rh_svg_is(item->node, "path") && attrs_left(before->node) == 1 &&
	       attrs_left(item->node) == 1;
}

/* Items from..to, one path. */
static void join_paths(const struct pack *pack, struct item *from, const struct item *to)
{
	char *d = NULL;
	size_t bytes = 0;
	FILE *text = rh_memory_text(&d, &bytes);

	for (const struct item *item = from; item <= to; item++)
		fputs(rh_svg_get(item->node, "d"), text);
	fclose(text);
	rh_svg_set(pack->pool, from->node, "d", rh_pool_text(pack->pool, d));
	free(d);
}

static void put_items(const struct pack *pack, const struct item *list);

static void put_item(const struct pack *pack, const struct item *item)
{
	fprintf(pack->to, "<%s", item->node->name);
	put_attrs(pack, item);
	if (!item->group && item->node->kid_count == 0) {
		fputs("/>\n", pack->to);
		return;
	}
	fputc('>', pack->to);
	if (rh_svg_is(item->node, "style"))
		put_style(pack);
	if (item->group) {
		put_items(pack, item);
		fprintf(pack->to, "</%s>", item->node->name);
	} else {
		rh_svg_put_inside(item->node, pack->to);
	}
	fputc('\n', pack->to);
}

static void put_items(const struct pack *pack, const struct item *list)
{
	for (size_t i = 0; i < list->item_count; i++) {
		struct item *item = &list->items[i];
		size_t last = i;

		if (item->node->text) {
			fputs(item->node->text, pack->to);
			continue;
		}
		while (last + 1 < list->item_count && goes_on(item, &list->items[last + 1]))
			last++;
		if (last > i)
			join_paths(pack, item, &list->items[last]);
		put_item(pack, item);
		i = last;
	}
}

/* The first family that the figure names: words of one figure are of one. */
static const char *family_of(const struct rh_svg_node *node)
{
	const char *family = rh_svg_get(node, "font-family");

	for (size_t i = 0; i < node->kid_count && !family; i++)
		if (!node->kids[i]->text)
			family = family_of(node->kids[i]);
	return family;
}

static void put_root(struct pack *pack, struct rh_svg_node *root)
{
	const char *initial[PROPS];
	struct item list = { 0 };

	for (int p = 0; p < PROPS; p++)
		initial[p] = pack->root[p] = props[p].initial;
	pack->root[FILL] = "none";
	pack->root[STROKE] = "currentColor";
	pack->root[FONT_FAMILY] = family_of(root);
	names_in(pack, root);
	for (size_t i = 0; i < root->kid_count; i++)
		flatten(pack, root->kids[i], initial, &list);
	find_looks(pack, &list);
	fputs("<svg", pack->to);
	for (size_t i = 0; i < root->attr_count; i++)
		rh_svg_put_attr(root->attrs[i].name, root->attrs[i].value, pack->to);
	rh_svg_put_attr("fill", "none", pack->to);
	rh_svg_put_attr("stroke", "currentColor", pack->to);
	if (pack->root[FONT_FAMILY])
		rh_svg_put_attr("font-family", pack->root[FONT_FAMILY], pack->to);
	fputs(">\n", pack->to);
	put_items(pack, &list);
	fputs("</svg>\n", pack->to);
}

void rh_svg_pack(const char *svg, FILE *to)
{
	struct pack pack = { .pool = rh_pool_open(), .to = to };
	struct rh_svg_node *root = rh_svg_read(pack.pool, svg);

	pack.id = root ? rh_svg_get(root, "id") : NULL;
	if (pack.id)
		put_root(&pack, root);
	else
		fputs(svg, to);
	rh_pool_close(pack.pool);
}
