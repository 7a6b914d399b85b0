/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/uuid.h"

#include <errno.h>
#include <sys/random.h>

int uuid_new(struct uuid *ret)
{
	struct uuid uuid;

	if (getentropy(uuid.bytes, sizeof(uuid.bytes)) < 0)
		return -errno;
	uuid.bytes[6] = (uint8_t)((uuid.bytes[6] & 0x0f) | 0x40); /* version 4 */
	uuid.bytes[8] = (uint8_t)((uuid.bytes[8] & 0x3f) | 0x80); /* variant of RFC 4122 */
	*ret = uuid;
	return 0;
}

/* Whether a hyphen stands before byte i. */
static bool uuid_has_hyphen(size_t i)
{
	return i == 4 || i == 6 || i == 8 || i == 10;
}

void uuid_format(const struct uuid *uuid, char text[static UUID_TEXT_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < sizeof(uuid->bytes); i++) {
		if (uuid_has_hyphen(i))
			*text++ = '-';
		*text++ = digits[uuid->bytes[i] >> 4];
		*text++ = digits[uuid->bytes[i] & 15];
	}
	*text = '\0';
}

/* The value of a hex digit in lower case; -1 when it is not one. */
static int uuid_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

bool uuid_parse(const char *text, struct uuid *ret)
{
	struct uuid uuid;

	for (size_t i = 0; i < sizeof(uuid.bytes); i++) {
		if (uuid_has_hyphen(i) && *text++ != '-')
			return false;
		int high = uuid_digit(text[0]);
		int low = high < 0 ? -1 : uuid_digit(text[1]);
		if (low < 0)
			return false;
		uuid.bytes[i] = (uint8_t)(high << 4 | low);
		text += 2;
	}
	if (*text != '\0')
		return false;
	*ret = uuid;
	return true;
}
