/* SPDX-License-Identifier: Apache-2.0 */

#include "protocol/errors.h"

#include "protocol/wire.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *wire_error_text(enum wire_error_code code)
{
#define WIRE_ERROR_TEXT(NAME, text, meaning) text,
	static const char *const texts[] = {WIRE_ERRORS(WIRE_ERROR_TEXT)};
#undef WIRE_ERROR_TEXT

	return (unsigned)code < WIRE_N_ERRORS ? texts[code] : "internal";
}

/* Messages quote what the peer sent and are cut to fit, but go out as a UTF-8 string and end in
 * journals and terminals: a cut sequence is dropped, control characters and what is no UTF-8 at
 * all become '?'. */
static void make_printable(char *text)
{
	size_t n = strlen(text), cut = n;

	for (size_t i = 0; i < n; i++) {
		if ((uint8_t)text[i] < 0x20 || text[i] == 0x7f)
			text[i] = '?';
	}
	if (wire_utf8_valid(text, n))
		return;
	while (cut > 0 && ((uint8_t)text[cut - 1] & 0xc0) == 0x80)
		cut--;
	if (cut > 0 && wire_utf8_valid(text, cut - 1)) {
		text[cut - 1] = '\0';
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if ((uint8_t)text[i] >= 0x80)
			text[i] = '?';
	}
}

static void error_set(struct wire_error *error, enum wire_error_code code, const char *field,
                      uint64_t row, const char *format, va_list args)
        __attribute__((format(printf, 5, 0)));

static void error_set(struct wire_error *error, enum wire_error_code code, const char *field,
                      uint64_t row, const char *format, va_list args)
{
	error->code = code;
	error->row = row;
	vsnprintf(error->message, sizeof(error->message), format, args);
	snprintf(error->field, sizeof(error->field), "%s", field == NULL ? "" : field);
	make_printable(error->message);
	make_printable(error->field);
}

void wire_error_set(struct wire_error *error, enum wire_error_code code, const char *field,
                    const char *format, ...)
{
	va_list args;

	va_start(args, format);
	error_set(error, code, field, WIRE_ERROR_NO_ROW, format, args);
	va_end(args);
}

void wire_error_set_row(struct wire_error *error, enum wire_error_code code, const char *field,
                        uint64_t row, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	error_set(error, code, field, row, format, args);
	va_end(args);
}
