/* A text on its way from options to a signature: the lines that every request or act has, the ones
 * of its own, the reasons behind its commitments; then signed and handed in, or written to be
 * signed elsewhere. */
#ifndef KV_CLI_DRAFT_H
#define KV_CLI_DRAFT_H

#include "cli/cli.h"
#include "cli/sign.h"
#include "core/time.h"
#include "policy/compose.h"

#define CLI_DRAFT_LINES_MAX 320 /* 64 founders, 64 ended grants, 32 sentences, the rest */
#define CLI_REQUEST_DAYS    7   /* how long an approved request may wait to be carried out */

struct cli_draft {
    struct kv_line lines[CLI_DRAFT_LINES_MAX]; /* values owned */
    size_t count;
    struct cli_signer signer;
    char checkpoint[KV_SIZE_ROOT_LEN]; /* the newest signed one, from the agent */
    int64_t now_ms;                    /* the agent's, or ours before it has one */
    bool window_given;
    json_t *private;           /* rows {field, salt, value} that travel beside */
    struct kv_buf policy;      /* text of a policy that it names; may be empty */
    const char *new_key_file;  /* enrolments: signs too; NULL: elsewhere */
    struct kv_statement *text; /* once composed */
    struct kv_err failure;     /* the first line that could not be added */
};
/* On the heap. Out of memory aborts. */
struct cli_draft *cli_draft_new(void);
void cli_draft_free(struct cli_draft *draft);
void cli_draft_freep(struct cli_draft **draft);

/* Add a line; NULL means "-". The value is copied. */
void cli_draft_add(struct cli_draft *draft, enum kv_key key, const char *value);
void cli_draft_add_n(struct cli_draft *draft, enum kv_key key, uint32_t n, const char *value);
void cli_draft_add_time(struct cli_draft *draft, enum kv_key key, int64_t ms);
/* The option's value as a line, "-" if it was not given. What has not the form of the line is
 * refused by the option's name: KV_E_USAGE, KV_E_INPUT_NIP. */
void cli_draft_option(struct cli_draft *draft, const struct cli *cli, enum kv_key key,
                      const char *option);
/* The same for the first operand. */
void cli_draft_operand(struct cli_draft *draft, const struct cli *cli, enum kv_key key);
/* The values of an option that may be repeated (and hold commas), each checked, sorted and joined.
 */
void cli_draft_list(struct cli_draft *draft, const struct cli *cli, enum kv_key key,
                    const char *option);
/* A salted commitment to the option's text, whose row travels beside; "-" if not given. */
void cli_draft_commit(struct cli_draft *draft, const struct cli *cli, enum kv_key key,
                      const char *field, const char *option);

/* What the vault must tell for a text to be made: name, policy, checkpoint, time. */
struct cli_facts {
    char vault[KV_VAULT_LEN];
    char policy[KV_HASH_HEX_LEN];
    char checkpoint[KV_SIZE_ROOT_LEN];
    int64_t now_ms;
};
KV_MUST_USE enum kv_code cli_facts(struct cli *cli, struct cli_facts *out, struct kv_err *err);

/* Options of every request and act, for the second column of the table of verbs: cli_signer_options
 * and --reason (a request must have one). */
extern const struct cli_option cli_request_options[], cli_act_options[];
/* Begin a request or an act of the signer that the options name. *out is owned by the caller. */
KV_MUST_USE enum kv_code cli_request(struct cli *cli, enum kv_action action, struct cli_draft **out,
                                     struct kv_err *err);
KV_MUST_USE enum kv_code cli_act(struct cli *cli, enum kv_act act, const char *noun, const char *id,
                                 struct cli_draft **out, struct kv_err *err);
/* A request `resume` for the operand, and deliver it. */
KV_MUST_USE enum kv_code cli_resume(struct cli *cli, const char *noun, struct kv_err *err);
/* The window of use of a grant: --not-before, --not-after, --days, --hours, --seconds. Without it
 * a request may be carried out within CLI_REQUEST_DAYS. */
KV_MUST_USE enum kv_code cli_draft_window(struct cli *cli, struct cli_draft *draft,
                                          int64_t default_ms, struct kv_err *err);
/* Compose, then sign and hand in, or write for signing elsewhere; tells what happens next. */
KV_MUST_USE enum kv_code cli_deliver(struct cli *cli, struct cli_draft *draft, struct kv_err *err);

/* ---- deliver.c ---- */
/* Hand in a signed text; `more` (takes ownership, may be NULL) has further arguments of the call.
 * Prints what became of it unless `quiet`. */
KV_MUST_USE enum kv_code cli_submit(struct cli *cli, struct kv_bytes text, struct kv_bytes armour,
                                    json_t *more, bool quiet, struct kv_api_answer *answer,
                                    struct kv_err *err);
/* Sentences on what became of a text. */
void cli_put_outcome(const json_t *answer);

#endif
