# SPDX-License-Identifier: Apache-2.0
# Checks of what users of the client get.
kith_check(exports ${checks}/exports.sh ${CMAKE_NM} $<TARGET_FILE:kith_shared>
	$<TARGET_FILE_DIR:kith_shared>/libkith.a)
kith_check(kith_h_cxx ${checks}/kith_h_cxx.sh ${PROJECT_SOURCE_DIR} ${CMAKE_C_COMPILER})
kith_check(man_kith ${checks}/man_commands.sh $<TARGET_FILE:kith>
	${PROJECT_SOURCE_DIR}/client/kith.1)
# What instrumentation needs is not in a user's link line.
if(NOT KITH_SANITIZE AND NOT KITH_COVERAGE)
	kith_check(install_client ${checks}/install_client.sh ${CMAKE_COMMAND} ${PROJECT_BINARY_DIR}
		${CMAKE_C_COMPILER})
endif()
