/* Each signed text used for anything but what it says: changed, for another request, vault, policy,
 * role, person or decision, a second time, over another log. */
#include "tests/unit/kv_test.h"

#include "tests/unit/policy/steps.h"

static void open_with_grant_terms(struct world *w)
{
    world_open(w);
    world_credential(w, "cred-1");
    world_integration(w, "erp-1", "2101");
}

/* A request for a grant, made now; the knobs of the world are those of its text. */
static enum kv_code ask(struct world *w, const char *signer, const char *max_uses, const char *rate,
                        char id[static KV_ULID_LEN])
{
    struct world_text text;
    world_request(w, &text, signer, KV_ACTION_GRANT, "credential", "cred-1", "integration", "erp-1",
                  "context", WORLD_NIP, "operations", "csr.sign", "class", "routine", "max-uses",
                  max_uses, "rate", rate, NULL);
    memcpy(id, text.request, KV_ULID_LEN);
    return hand_in(w, &text);
}

static void checkpoints_are_those_of_this_log(void **state)
{
    (void)state;
    struct world w;
    char id[KV_ULID_LEN];
    open_with_grant_terms(&w);
    world_must(&w, ask(&w, "req-01", "-", "-", id));
    w.has_checkpoint = true; /* a newer one than ours: a copy of this disk was put back */
    w.checkpoint.size = kv_state_size(w.state) + 1;
    (void)world_root_at(&w, w.checkpoint.size, &w.checkpoint.root);
    must_refuse(&w, decide(&w, "fin-01", KV_DECISION_APPROVE, id), KV_E_APPR_CHECKPOINT);
    w.has_checkpoint = true; /* another history */
    w.checkpoint.size = 5;
    must_refuse(&w, decide(&w, "fin-01", KV_DECISION_APPROVE, id), KV_E_APPR_CHECKPOINT);
    w.has_checkpoint = true;
    must_refuse(&w, act(&w, "fin-01", KV_ACT_LEAVE, "person cus-02", "left-on", "2026-01-06"),
                KV_E_APPR_CHECKPOINT);
    w.has_checkpoint = true; /* an old one is fine */
    (void)world_root_at(&w, 5, &w.checkpoint.root);
    world_must(&w, decide(&w, "fin-01", KV_DECISION_APPROVE, id));
    world_close(&w);
}

static void a_nonce_serves_once(void **state)
{
    (void)state;
    struct world w;
    char id[KV_ULID_LEN], nonce[KV_NONCE_LEN];
    static const uint8_t random[32] = {7};
    open_with_grant_terms(&w);
    kv_nonce_print(random, nonce);
    memcpy(w.nonce, nonce, sizeof nonce);
    world_must(&w, ask(&w, "req-01", "-", "-", id));
    memcpy(w.nonce, nonce, sizeof nonce);
    must_refuse(&w, decide(&w, "fin-01", KV_DECISION_APPROVE, id), KV_E_APPR_NONCE);
    memcpy(w.nonce, nonce, sizeof nonce);
    must_refuse(&w, decide(&w, "cus-01", KV_DECISION_DENY, id), KV_E_APPR_NONCE);
    memcpy(w.nonce, nonce, sizeof nonce);
    must_refuse(&w, ask(&w, "req-01", "-", "-", id), KV_E_APPR_NONCE);
    memcpy(w.nonce, nonce, sizeof nonce);
    must_refuse(&w, act(&w, "fin-01", KV_ACT_LEAVE, "person cus-02", "left-on", "2026-01-06"),
                KV_E_APPR_NONCE);
    world_close(&w);
}

/* The text of `text` with one line's value exchanged, under its old signature. */
static enum kv_code hand_in_changed(struct world *w, const struct world_text *text,
                                    const char *line, const char *value, bool everywhere)
{
    struct world_text changed;
    world_text_init(&changed);
    const char *at = kv_buf_str(&text->text);
    size_t len = strlen(line);
    bool done = false;
    for (const char *lf; (lf = strchr(at, '\n')) != NULL; at = lf + 1) {
        bool here = strncmp(at, line, len) == 0 && (!done || everywhere);
        kv_buf_add(&changed.text, at, here ? len : (size_t)(lf - at));
        kv_buf_add_str(&changed.text, here ? value : "");
        kv_buf_add_str(&changed.text, "\n");
        done = done || here;
    }
    assert_true(done);
    kv_buf_add_bytes(&changed.signature, kv_buf_bytes(&text->signature));
    return hand_in(w, &changed);
}

static void a_decision_says_what_it_was_signed_for(void **state)
{
    (void)state;
    struct world w;
    char id[KV_ULID_LEN], other[KV_ULID_LEN];
    struct world_text text;
    open_with_grant_terms(&w);
    world_must(&w, ask(&w, "req-01", "-", "-", other));
    world_must(&w, ask(&w, "req-01", "-", "-", id));
    world_decision(&w, &text, "fin-01", "finance", KV_DECISION_APPROVE, id);
    const char *cus = world_signer(&w, "cus-01")->fingerprint;
    const struct {
        const char *line, *value;
        bool everywhere;
        enum kv_code code;
    } rows[] = {
        {"request: ", other, false, KV_E_STMT_REQUEST},
        {"request: ", other, true, KV_E_STMT_REQUEST},
        {"vault: ", "ksef-vault.example.com/test-other", true, KV_E_STMT_REQUEST},
        {"vault: ", "ksef-vault.example.com/test-other", false, KV_E_STMT_REQUEST},
        {"policy: ", "1ce01935609846c5162ce6376e2404c118322980c4bee6985899638ed54df55d", true,
         KV_E_STMT_REQUEST},
        {"decision: ", "deny", false, KV_E_SIG_BAD},
        {"role: ", "custodian", false, KV_E_SIG_BAD},
        {"approver: ", "fin-02", false, KV_E_SIG_BAD},
        {"approver-key: ", cus, false, KV_E_SIG_BAD},
        {"nonce: ", "S-Z2SZWW-a1o71DDil4VScoI6GLzEgLJFyd_gS01xqM", false, KV_E_SIG_BAD},
        {"issued: ", "2026-01-05T09:00:01Z", false, KV_E_SIG_BAD},
        {"max-uses: ", "7", false, KV_E_STMT_REQUEST},
    };
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        enum kv_code code =
            hand_in_changed(&w, &text, rows[i].line, rows[i].value, rows[i].everywhere);
        if (code != rows[i].code) {
            fail_msg("%s%s: %s: %s", rows[i].line, rows[i].value, kv_code_word(code), w.err.msg);
        }
    }
    world_must(&w, world_submit(&w, &text));
    must_refuse(&w, world_submit(&w, &text), KV_E_APPR_NONCE); /* nor a second time */
    world_text_clear(&text);
    world_close(&w);
}

/* Nobody's signature serves another person, another namespace, or nobody. */
static void a_signature_is_of_its_signer(void **state)
{
    (void)state;
    struct world w;
    char id[KV_ULID_LEN];
    struct world_text text;
    open_with_grant_terms(&w);
    world_must(&w, ask(&w, "req-01", "-", "-", id));
    world_decision(&w, &text, "fin-01", "finance", KV_DECISION_APPROVE, id);
    signer_sign(world_signer(&w, "fin-02"), kv_buf_bytes(&text.text), &text.signature);
    must_refuse(&w, world_submit(&w, &text), KV_E_SIG_KEY);
    signer_sign_in(world_signer(&w, "fin-01"), "file", kv_buf_bytes(&text.text), &text.signature);
    must_refuse(&w, world_submit(&w, &text), KV_E_SIG_NAMESPACE);
    kv_buf_reset(&text.signature);
    must_refuse(&w, world_submit(&w, &text), KV_E_INPUT_MISSING);
    signer_sign(world_signer(&w, "fin-01"), kv_buf_bytes(&text.text), &text.signature);
    world_must(&w, world_submit(&w, &text));
    world_text_clear(&text);
    world_close(&w);
}

static void an_act_is_for_its_target(void **state)
{
    (void)state;
    struct world w;
    char id[KV_ULID_LEN], target[80];
    struct world_text text;
    world_open(&w);
    world_grant(&w, id);
    int len = snprintf(target, sizeof target, "grant %s", id);
    assert_true(len > 0 && (size_t)len < sizeof target);
    world_act(&w, &text, "fin-01", KV_ACT_REVOKE, target, NULL, NULL);
    must_refuse(&w, hand_in_changed(&w, &text, "actor: ", "fin-02", false), KV_E_SIG_BAD);
    must_refuse(&w,
                hand_in_changed(&w, &text, "vault: ", "ksef-vault.example.com/test-other", false),
                KV_E_STMT_VALUE);
    must_refuse(&w,
                hand_in_changed(&w, &text, "target: ", "grant 01KEBQGH006J9ATSEGBABKZVWC", false),
                KV_E_SIG_BAD);
    must_refuse(&w, act(&w, "req-01", KV_ACT_REVOKE, target, NULL, NULL), KV_E_ACT_ENTITLED);
    world_must(&w, world_submit(&w, &text));
    world_text_clear(&text);
    must_refuse(&w, act(&w, "fin-02", KV_ACT_REVOKE, target, NULL, NULL), KV_E_ACT_TARGET);
    must_refuse(&w, act(&w, "fin-02", KV_ACT_SUSPEND, target, "operations", "-"), KV_E_ACT_TARGET);
    world_close(&w);
}

/* The record of an act names what its text names: here another grant, which is there as well. */
static void a_record_is_about_its_act(void **state)
{
    (void)state;
    struct world w;
    char first[KV_ULID_LEN], second[KV_ULID_LEN], target[80];
    world_open(&w);
    world_grant(&w, first);
    world_grant(&w, second);
    int len = snprintf(target, sizeof target, "grant %s", first);
    assert_true(len > 0 && (size_t)len < sizeof target);
    for (int i = 0; i < 2; i++) {
        struct world_text text;
        struct kv_draft draft;
        world_act(&w, &text, "fin-01", i == 0 ? KV_ACT_REVOKE : KV_ACT_SUSPEND, target,
                  i == 0 ? NULL : "operations", "-");
        struct kv_submission sub = {.text = kv_buf_bytes(&text.text),
                                    .signature = kv_buf_bytes(&text.signature)};
        world_must(&w, kv_state_draft(w.state, &sub, &draft, &w.err));
        kv_record_set(draft.rec, KV_RK_GRANT, second);
        must_refuse(&w, world_record(&w, draft.rec, draft.blobs), KV_E_LEDGER_ILLEGAL);
        world_text_clear(&text);
    }
    world_must(&w, world_use(&w, second));
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checkpoints_are_those_of_this_log),
        cmocka_unit_test(a_nonce_serves_once),
        cmocka_unit_test(a_decision_says_what_it_was_signed_for),
        cmocka_unit_test(a_signature_is_of_its_signer),
        cmocka_unit_test(an_act_is_for_its_target),
        cmocka_unit_test(a_record_is_about_its_act),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
