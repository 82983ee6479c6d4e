/*
 * whatif_document.c - the tables of whatif_document.h; harness/result/ writes documents by them.
 */
#include "harness/fidelity/whatif_document.h"

#define SELF struct rh_whatif_recorded
RH_RECORD_TABLE(whatif_recorded, FIELDS_WHATIF_RECORDED)
#undef SELF
#define SELF struct rh_whatif_answer
RH_RECORD_TABLE(whatif_answer, FIELDS_WHATIF_ANSWER)
#undef SELF
#define SELF struct rh_whatif_document
RH_RECORD_TABLE(whatif_document, FIELDS_WHATIF_DOCUMENT)
#undef SELF
