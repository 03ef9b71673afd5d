/* The parts of the judge; only for judge*.c. */
#ifndef KV_CLI_JUDGE_PARTS_H
#define KV_CLI_JUDGE_PARTS_H

#include "cli/judge.h"

#define IN_FLIGHT_MS (15 * KV_MINUTE_MS)

/* Where a record lies. */
struct place {
    char file[48]; /* records.jsonl, or a segment */
    uint64_t line, seq;
};

struct intents {
    struct intent {
        struct place place;
        int64_t ts_ms;
        unsigned outcomes;
    } * list; /* owned; by seq */
    size_t count, cap;
    uint64_t last_start; /* seq of the last agent.start */
    int64_t last_ts_ms;
};

/* The signed texts and signatures that records name, and the files that are there. */
struct approvals {
    struct named {
        struct kv_hash hash;
        char *path; /* owned; what the export calls it */
        bool seen;
    } * named; /* owned */
    size_t named_count, named_cap;
    char **files; /* owned */
    size_t file_count, file_cap;
};

struct judge {
    const struct kv_reader *reader;
    const struct kv_roots *roots; /* or NULL */
    struct cli_progress *progress;
    struct kv_findings findings;
    struct kv_state *state;
    bool fold_ended; /* it refused a record */
    struct intents intents;
    uint64_t in_flight;
    struct judge_evidence evidence;
    int64_t began_ms; /* of record 0 */
    struct approvals approvals;
};

/* A finding; `place` may be NULL, then it is of `file`. */
void judge_find(struct judge *judge, enum kv_verify_exit exit, const char *stage,
                const struct place *place, const char *file, enum kv_event ev, const char *what);
struct place judge_place(const struct judge *judge, const struct kv_entry *entry);

/* judge_intents.c */
void judge_intents_entry(struct judge *judge, const struct kv_entry *entry);
void judge_intents_finish(struct judge *judge);
/* judge_evidence.c */
void judge_evidence_entry(struct judge *judge, const struct kv_entry *entry);
void judge_evidence_log(struct judge *judge, const struct kv_vkey *vkey);
/* judge_files.c */
void judge_files_entry(struct judge *judge, const struct kv_entry *entry);
void judge_files_clear(struct approvals *approvals);
KV_MUST_USE enum kv_code judge_files_finish(struct judge *judge, struct kv_err *err);

#endif
