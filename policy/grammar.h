/* The one table of line orders, walked line by line: the parser asks which line must come next, the
 * composer which line to write next. Only for policy/statement.c and policy/compose.c. */
#ifndef KV_POLICY_GRAMMAR_H
#define KV_POLICY_GRAMMAR_H

#include "policy/statement.h"

#define KV_GRAMMAR_PARTS 3

struct kv_grammar {
    const enum kv_key *part[KV_GRAMMAR_PARTS]; /* head, own lines, tail; ended by KV_KEY_NONE */
    unsigned at_part;
    size_t at;
    uint64_t count; /* of the numbered lines that follow */
    uint64_t n;     /* within them, from 1; 0: not begun */
    size_t in_group;
    enum kv_action action;
    enum kv_act act;
};

/* Of a request, an act, or the head of a decision. */
void kv_grammar_init(struct kv_grammar *g, enum kv_statement_type type);
/* The line that must come next; false at the end. */
bool kv_grammar_next(struct kv_grammar *g, enum kv_key *key, uint32_t *n);
/* Tell the value of the line just returned: action, act, target and counts choose what follows.
 * False if it is none that is known. */
bool kv_grammar_feed(struct kv_grammar *g, enum kv_key key, struct kv_bytes value);
/* The count that belongs to a numbered key, KV_KEY_NONE for others. */
enum kv_key kv_grammar_count_of(enum kv_key numbered);
/* `ksefvault/request/v1` */
const char *kv_grammar_type_line(enum kv_statement_type type);

#endif
