#include "tpm/way.h"

#include "core/parse.h"

#include <string.h>

static const struct {
    const char *head;
    bool managed;  /* a resource manager is behind it: others' handles are not ours to flush */
    bool software; /* it can only be one */
} ways[] = {
    {"swtpm:", false, true},
    {"device:/dev/tpmrm", true, false},
    {"device:/dev/tpm", false, false},
    {"tabrmd", true, false},
};

static size_t way_of(const char *tcti)
{
    size_t i = 0;
    while (i < KV_COUNT(ways) && strncmp(tcti, ways[i].head, strlen(ways[i].head)) != 0) {
        i++;
    }
    return i;
}

bool kv_tpm_way_known(const char *tcti)
{
    return way_of(tcti) < KV_COUNT(ways);
}

bool kv_tpm_way_managed(const char *tcti)
{
    size_t way = way_of(tcti);
    return way < KV_COUNT(ways) && ways[way].managed;
}

bool kv_tpm_way_software(const char *tcti)
{
    size_t way = way_of(tcti);
    return way < KV_COUNT(ways) && ways[way].software;
}

bool kv_tpm_way_needs(const char *tcti, bool *unix_sockets, uint16_t *port)
{
    const char *text = strstr(tcti, "port=");
    uint64_t number = 0;
    *port = 0;
    *unix_sockets = strncmp(tcti, "device:", 7) != 0 && text == NULL;
    if (text != NULL) {
        text += strlen("port=");
        if (!kv_parse_u64(kv_bytes(text, strcspn(text, ",")), UINT16_MAX, &number) || number == 0) {
            return false;
        }
        *port = (uint16_t)number;
    }
    return kv_tpm_way_known(tcti);
}
