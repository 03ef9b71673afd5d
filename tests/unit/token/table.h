/* The rows of docs/tokens.md. */
#ifndef KV_TESTS_UNIT_TOKEN_TABLE_H
#define KV_TESTS_UNIT_TOKEN_TABLE_H

/* What the tests show that the token offers. *out is owned by the caller. */
void table_row(char **out);
/* A test to cmocka, but it only measures and prints. */
void table_measure(void **state);

#endif
