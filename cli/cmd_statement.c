/* statement, approve, deny: a person sees the whole text, then signs it. */
#include "cli/cmd_daily.h"

#include "cli/confirm.h"
#include "cli/draft.h"
#include "cli/file.h"
#include "cli/out.h"
#include "cli/reason.h"

/* The decision to sign, as the agent made it, held against what was asked for: an agent that is not
 * ours must not get another text signed. */
static enum kv_code check_text(const struct kv_statement *st, const struct cli_signer *signer,
                               const char *id, enum kv_decision decision, struct kv_err *err)
{
    const struct kv_statement *request = kv_statement_request(st);
    if (kv_statement_type(st) != KV_STATEMENT_DECISION || kv_statement_decision(st) != decision ||
        !kv_bytes_is(kv_statement_get(st, KV_KEY_REQUEST), id) ||
        !kv_bytes_is(kv_statement_get(st, KV_KEY_APPROVER), signer->person) ||
        !kv_bytes_is(kv_statement_get(st, KV_KEY_APPROVER_KEY), signer->key)) {
        return KV_REFUSE(err, KV_E_PROTOCOL, "the agent gave another text than was asked for");
    }
    return kv_statement_repeats(st, kv_statement_text(request), NULL, err);
}

/* *st and *answer are owned by the caller on success. */
static enum kv_code fetch(struct cli *cli, const struct cli_signer *signer,
                          enum kv_decision decision, struct kv_statement **st,
                          struct kv_api_answer *answer, struct kv_err *err)
{
    const char *id = cli_operand(cli, 0);
    json_t *args = json_pack("{s:s,s:s,s:s,s:s}", "id", id, "person", signer->person, "key",
                             signer->key, "decision", kv_decision_word(decision));
    if (cli_call(cli, KV_CALL_STATEMENT, args, answer, err) != KV_OK) {
        return err->code;
    }
    struct kv_statement *got = NULL;
    enum kv_code code =
        kv_statement_parse(kv_bytes_str(cli_str(answer->body, "text")), &got, NULL, err);
    if (code == KV_OK) {
        code = check_text(got, signer, id, decision, err);
    }
    if (code != KV_OK) {
        kv_statement_free(got);
        kv_api_answer_clear(answer);
        return code;
    }
    *st = got;
    return KV_OK;
}

static enum kv_code show(FILE *to, const struct kv_statement *st, const json_t *answer,
                         struct kv_err *err)
{
    char code[KV_CONFIRMATION_LEN];
    cli_confirmation(st, code);
    cli_put(to, kv_statement_text(st));
    fputc('\n', to);
    if (cli_put_reason(to, kv_statement_request(st), answer, err) != KV_OK) {
        return err->code;
    }
    fprintf(to, "confirmation code: %s\n", code);
    return KV_OK;
}

enum kv_code cmd_statement(struct cli *cli, struct kv_err *err)
{
    struct cli_signer signer;
    struct kv_api_answer answer;
    KV_CLEANUP(kv_statement_freep) struct kv_statement *st = NULL;
    const char *out = cli_get(cli, "out");
    enum kv_decision decision = cli_flag(cli, "deny") ? KV_DECISION_DENY : KV_DECISION_APPROVE;
    if (cli_signer(cli, &signer, err) != KV_OK ||
        fetch(cli, &signer, decision, &st, &answer, err) != KV_OK) {
        return err->code;
    }
    enum kv_code code = KV_OK;
    if (cli->json) {
        cli_put_json(answer.body);
    } else if (out == NULL) {
        /* exactly the text on standard output, to be redirected; the rest for the eye */
        struct kv_bytes text = kv_statement_text(st);
        fwrite(text.ptr, 1, text.len, stdout);
        code = cli_put_reason(stderr, kv_statement_request(st), answer.body, err);
    } else {
        code = show(stdout, st, answer.body, err);
    }
    if (code == KV_OK && out != NULL) {
        code = cli_file_write(out, kv_statement_text(st), err);
    }
    if (code == KV_OK && out != NULL && !cli->json) {
        cli_say("\nThe text is in %s. %s signs it and hands it in:\n\n"
                "    ssh-keygen -Y sign -n %s -f KEY %s\n    ksefvault submit %s\n",
                out, signer.person, KV_SSHSIG_NAMESPACE, out, out);
    }
    kv_api_answer_clear(&answer);
    return code;
}

static enum kv_code decide(struct cli *cli, enum kv_decision decision, struct kv_err *err)
{
    struct cli_signer signer;
    struct kv_api_answer answer;
    struct kv_buf armour;
    KV_CLEANUP(kv_statement_freep) struct kv_statement *st = NULL;
    if (cli_signer(cli, &signer, err) != KV_OK ||
        fetch(cli, &signer, decision, &st, &answer, err) != KV_OK) {
        return err->code;
    }
    enum kv_code code = show(cli->json ? stderr : stdout, st, answer.body, err);
    kv_api_answer_clear(&answer);
    if (code != KV_OK || (code = cli_confirm(cli, st, err)) != KV_OK) {
        return code;
    }
    kv_buf_init(&armour, KV_SSHSIG_ARMOUR_MAX);
    code = cli_sign(signer.key_file, signer.key, kv_statement_text(st), &armour, err);
    if (code == KV_OK) {
        code = cli_submit(cli, kv_statement_text(st), kv_buf_bytes(&armour), NULL, false, &answer,
                          err);
        kv_api_answer_clear(&answer);
    }
    kv_buf_clear(&armour);
    return code;
}

enum kv_code cmd_approve(struct cli *cli, struct kv_err *err)
{
    return decide(cli, KV_DECISION_APPROVE, err);
}

enum kv_code cmd_deny(struct cli *cli, struct kv_err *err)
{
    return decide(cli, KV_DECISION_DENY, err);
}
