#include "core/yaml.h"

#include "core/base.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define WHAT  0 /* the lines of libcyaml's log that tell: the fault … */
#define WHERE 2 /* … and, behind «Backtrace:», the innermost place */

KV_PRINTF(3, 0)
static void on_log(cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
    struct kv_yaml_fault *fault = ctx;
    unsigned line = fault->lines++;
    if (level != CYAML_LOG_ERROR || (line != WHAT && line != WHERE)) {
        return;
    }
    char text[sizeof fault->what + 8];
    int n = vsnprintf(text, sizeof text, fmt, args);
    (void)n; /* cut is fine: it is a message */
    text[strcspn(text, "\n")] = '\0';
    const char *from = text + strspn(text, " ");
    from += strncmp(from, "Load: ", 6) == 0 ? 6 : 0;
    n = snprintf(line == WHAT ? fault->what : fault->where, sizeof fault->what, "%.127s", from);
    (void)n;
}

static cyaml_config_t reader(struct kv_yaml_fault *fault)
{
    return (cyaml_config_t){.log_fn = on_log,
                            .log_ctx = fault,
                            .log_level = CYAML_LOG_ERROR,
                            .mem_fn = cyaml_mem,
                            .flags = CYAML_CFG_NO_ALIAS};
}

bool kv_yaml_load(struct kv_bytes text, const cyaml_schema_value_t *schema, void **out,
                  struct kv_yaml_fault *fault)
{
    static const uint8_t nothing[1] = {
        0}; /* libyaml asserts against NULL, even for an empty text */
    *fault = (struct kv_yaml_fault){.lines = 0};
    *out = NULL;
    cyaml_config_t config = reader(fault);
    cyaml_err_t rc = cyaml_load_data(text.len == 0 ? nothing : text.ptr, text.len, &config, schema,
                                     (cyaml_data_t **)out, NULL);
    if (rc != CYAML_OK && fault->what[0] == '\0') {
        int n = snprintf(fault->what, sizeof fault->what, "%.127s", cyaml_strerror(rc));
        (void)n;
    }
    return rc == CYAML_OK;
}

void kv_yaml_free(const cyaml_schema_value_t *schema, void *data)
{
    if (data != NULL) {
        struct kv_yaml_fault ignored = {.lines = 0};
        cyaml_config_t config = reader(&ignored);
        cyaml_err_t rc = cyaml_free(&config, schema, data, 0);
        assert(rc == CYAML_OK);
    }
}
