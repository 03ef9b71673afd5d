/* ledger: the signed record of everything. show and tail ask the agent; the others read the folder.
 */
#include "cli/cmd_ledger.h"
#include "cli/cmd.h"

#include "cli/file.h"
#include "cli/out.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define SHOW_COUNT 64
#define TAIL_COUNT 20
#define PAGE_MAX   256

static const struct cli_option show_options[] = {
    {"from", "N", CLI_OPTIONAL, "first record (default: 0)"},
    {"count", "N", CLI_OPTIONAL, "how many, 1 to 256 (default: 64)"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};
static const struct cli_option tail_options[] = {
    {"count", "N", CLI_OPTIONAL, "how many, 1 to 256 (default: 20)"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};
static const struct cli_option verify_options[] = {
    {"vkey", "FILE", CLI_OPTIONAL, "the log's key, from the founding papers"},
    {"expect", "FILE|SIZE:ROOT", CLI_OPTIONAL, "a later checkpoint that the log must continue"},
    {"tpm-roots", "FILE", CLI_OPTIONAL,
     "certificates (PEM) of the makers of TPMs that you trust: check attested keys"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};
static const struct cli_option prove_options[] = {
    {"out", "FOLDER", CLI_OPTIONAL, "where to write the files (default: here)"},
    {"ledger", "FOLDER", CLI_OPTIONAL, "the ledger (default: from the configuration)"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};
static const struct cli_option export_options[] = {
    {"proof", "N,...", CLI_MANY, "also a proof of these records"},
    {"with-private", NULL, CLI_OPTIONAL, "reasons and names too; the ledger says so"},
    {"ledger", "FOLDER", CLI_OPTIONAL, "the ledger (default: from the configuration)"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};

enum kv_code ledger_folder(struct cli *cli, char **out, struct kv_err *err)
{
    const char *given = cli_get(cli, "ledger");
    const struct kv_config *config;
    if (given != NULL) {
        *out = cli_path_add(given, "");
        return KV_OK;
    }
    if (cli_config(cli, &config, err) != KV_OK) {
        return err->code;
    }
    *out = cli_path_add(config->state, "/ledger");
    return KV_OK;
}

enum kv_code ledger_readable(const struct cli *cli, const char *folder, struct kv_err *err)
{
    KV_CLEANUP(kv_freep) char *wal = cli_path_add(folder, "/wal");
    return access(wal, R_OK | X_OK) == 0 || errno != EACCES
               ? KV_OK
               : KV_REFUSE(err, KV_E_NOT_ALLOWED,
                           "the ledger %.100s cannot be read by this account; %s as root or as "
                           "the vault's account",
                           folder, cli->verb->verb);
}

/* What a record is about, in one cell. */
static json_t *subject_of(const json_t *record)
{
    static const char *const keys[] = {"req",  "grant", "integ", "cred", "person",
                                       "role", "op",    "ctx",   "out",  "err"};
    struct kv_buf buf;
    kv_buf_init(&buf, 1024);
    for (size_t i = 0; i < KV_COUNT(keys); i++) {
        const char *value = cli_str(record, keys[i]);
        if (value[0] != '\0') {
            kv_buf_add_format(&buf, "%s%s=%s", buf.len == 0 ? "" : " ", keys[i], value);
        }
    }
    json_t *text = json_string(kv_buf_str(&buf));
    kv_buf_clear(&buf);
    return text;
}

/* A row of the table from an element of the answer: the record, as an object or as its text. */
static json_t *row_of(const json_t *element)
{
    const json_t *inner = json_is_object(element) && json_object_get(element, "record") != NULL
                              ? json_object_get(element, "record")
                              : element;
    json_t *record = json_is_string(inner)
                         ? json_loads(json_string_value(inner), JSON_REJECT_DUPLICATES, NULL)
                         : json_incref((json_t *)(uintptr_t)inner);
    json_t *row = json_object();
    KV_CLEANUP(kv_freep) char *seq = cli_text_of(json_object_get(record, "seq"));
    const char *who = cli_str(record, "who.id");
    json_object_set_new(row, "seq", json_string(seq));
    json_object_set_new(row, "ts", json_string(cli_str(record, "ts")));
    json_object_set_new(row, "ev", json_string(cli_str(record, "ev")));
    json_object_set_new(row, "who", json_sprintf("%s %s", cli_str(record, "who.kind"), who));
    json_object_set_new(row, "about", subject_of(record));
    json_decref(record);
    return row;
}

static enum kv_code put_records(struct cli *cli, json_t *args, struct kv_err *err)
{
    static const struct cli_column columns[] = {{"SEQ", "seq"}, {"TIME", "ts"},     {"EVENT", "ev"},
                                                {"WHO", "who"}, {"ABOUT", "about"}, {NULL, NULL}};
    struct kv_api_answer answer;
    size_t i;
    json_t *element;
    if (cli_call(cli, KV_CALL_RECORDS, args, &answer, err) != KV_OK) {
        return err->code;
    }
    if (cli->json) {
        cli_put_json(answer.body);
    } else {
        json_t *rows = json_array();
        json_array_foreach(json_object_get(answer.body, "records"), i, element)
        {
            json_array_append_new(rows, row_of(element));
        }
        cli_put_table(rows, columns, "No records there.");
        json_decref(rows);
    }
    kv_api_answer_clear(&answer);
    return KV_OK;
}

enum kv_code ledger_show(struct cli *cli, struct kv_err *err)
{
    uint64_t from;
    uint64_t count;
    return cli_number(cli, "from", 0, UINT32_MAX, 0, &from, err) == KV_OK &&
                   cli_number(cli, "count", 1, PAGE_MAX, SHOW_COUNT, &count, err) == KV_OK
               ? put_records(
                     cli,
                     json_pack("{s:I,s:I}", "from", (json_int_t)from, "count", (json_int_t)count),
                     err)
               : err->code;
}

enum kv_code ledger_tail(struct cli *cli, struct kv_err *err)
{
    uint64_t count;
    if (cli_number(cli, "count", 1, PAGE_MAX, TAIL_COUNT, &count, err) != KV_OK) {
        return err->code;
    }
    /* without a first one, the newest are given */
    return put_records(cli, json_pack("{s:I}", "count", (json_int_t)count), err);
}

const struct cli_verb cmd_ledger[] = {
    {.noun = "ledger",
     .verb = "show",
     .run = ledger_show,
     .options = show_options,
     .summary = "Records in order, from the agent.",
     .examples = "  ksefvault ledger show --from 40 --count 10\n"},
    {.noun = "ledger",
     .verb = "tail",
     .run = ledger_tail,
     .options = tail_options,
     .summary = "The newest records, from the agent.",
     .examples = "  ksefvault ledger tail --count 5\n"},
    {.noun = "ledger",
     .verb = "verify",
     .run = ledger_verify,
     .operands = "[FOLDER]",
     .operands_max = 1,
     .options = verify_options,
     .summary = "Check an export or a ledger folder, bytes and meaning; needs no agent.",
     .more = "Exit status: 0 nothing found, 10 bad record or signature, 11 rollback, 12 open "
             "intents,\n13 approvals not sufficient, 1 could not judge. The first line names the "
             "first bad place.",
     .examples = "  ksefvault ledger verify evidence --vkey log.vkey\n"
                 "  ksefvault ledger verify --expect mailed-checkpoint\n"},
    {.noun = "ledger",
     .verb = "prove",
     .run = ledger_prove,
     .operands = "N...",
     .operands_min = 1,
     .operands_max = CLI_VALUES_MAX,
     .options = prove_options,
     .summary = "Write records with proofs that they are in the log.",
     .examples = "  ksefvault ledger prove 26 27 --out proofs\n"},
    {.noun = "ledger",
     .verb = "export",
     .run = ledger_export,
     .operands = "FOLDER",
     .operands_min = 1,
     .operands_max = 1,
     .options = export_options,
     .summary = "Write the whole trail as a folder that others can check.",
     .more = "The agent, if it runs, signs a checkpoint first and notes the export.",
     .examples = "  ksefvault ledger export evidence-2026q1\n"},
    {.noun = NULL},
};
