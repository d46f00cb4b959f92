/* The expected bytes of every example in test_samples.h, in a fixed order: hex, or for long ones
 * the first 32 bytes and the BLAKE3 of all. */
#ifndef SES_PROTOCOL_TEST_GOLDEN_H
#define SES_PROTOCOL_TEST_GOLDEN_H

#include "protocol/test_samples_frames.h"

#define KIND_NONE KIND_CNT /* never decoded: a message that is signed */
struct golden {
    const char *name;
    enum kind kind;
    void (*write)(struct ses_writer *w);
    size_t len;
    const char *head; /* hex of the first bytes: all of them, or 32 */
    const char *hash; /* hex of BLAKE3; NULL where `head` is everything */
};
#define GOLDEN_BYTES_MAX 32768u

/* clang-format off */
static const struct golden goldens[] = {
    {"record_header", KIND_RECORD_HEADER, sample_record_header, 48,
     "0100ffeb03000000000001a3185c5000101112131415161718191a1b1c1d1e1f2021222324252627"
     "28292a2b2c2d2e2f",
     NULL},
    {"record", KIND_RECORD, sample_record, 57,
     "0100000003000000000001a3185c5000101112131415161718191a1b1c1d1e1f2021222324252627"
     "28292a2b2c2d2e2f000000056061626364",
     NULL},
    {"record_empty", KIND_RECORD, sample_record_empty, 52,
     "0101000003000000000001a3185c5000101112131415161718191a1b1c1d1e1f2021222324252627"
     "28292a2b2c2d2e2f00000000",
     NULL},
    {"receipt", KIND_RECEIPT, sample_receipt, 3527,
     "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f",
     "e481f2aa1770e13c5c8217c1da782940752a782bc8fd9e75815a4f24ae85edde"},
    {"receipts", KIND_RECEIPTS, sample_receipts, 7056,
     "0002202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d",
     "005cee576225c785d82f75599fe49a8f89bf5fa076c01e491a9af8ecfa4f8703"},
    {"receipt_statement", KIND_NONE, sample_receipt_statement, 86,
     "c0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfa0a1a2a3a4a5a6a7"
     "a8a9aaabacadaeafb0b1b2b30005606162636465666768696a6b6c6d6e6f70717273747576777879"
     "7a7b7c7d7e7f",
     NULL},
    {"tx_transfer", KIND_TX, sample_tx_transfer, 3376,
     "01011112131415161718191a1b1c1d1e1f2021222324000000012a05f2000000",
     "5bb5d452977c21c16263d79a13353e55e7db6a6c31deba9dbbb21c9075da6197"},
    {"tx_transfer_first", KIND_TX, sample_tx_transfer_first, 5328,
     "01011112131415161718191a1b1c1d1e1f202122232400000000000000010000",
     "794938686f2880fd809f3c6a750e19c728bba2e83b8d497d1bf2c450daf1b0e8"},
    {"tx_register", KIND_TX, sample_tx_register, 9918,
     "010222232425262728292a2b2c2d2e2f303132333435a0a1a2a3a4a5a6a7a8a9",
     "c47c533b0da5fa2c9c13e2c362d42f544180b5cb2fc58d836c60619dbc09bdeb"},
    {"tx_top_up", KIND_TX, sample_tx_top_up, 3376,
     "0103a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b300000001a13b86000000",
     "b3a012664117ba37a2c59864b29e313686ddadd58e07af1df03f37d9a7a03ee2"},
    {"tx_decommission", KIND_TX, sample_tx_decommission, 3368,
     "0104a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b300000000000000040000",
     "e0e39cefdf316ef43ceb74c2969828864a04d8a237c879ab1a94af1611ac4ba7"},
    {"block_empty", KIND_BLOCK, sample_block_empty, 83,
     "01505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f00000000000000"
     "09000000006b49d212707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e"
     "8f0000",
     NULL},
    {"block", KIND_BLOCK, sample_block, 6835,
     "01505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e",
     "d52fc69437d3a6b68dd729f5a22676dc733883508c48ee76716f8b6352b35838"},
    {"endpoint", KIND_ENDPOINT, sample_endpoint, 48,
     "e0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff020008047f000001"
     "060fa10003010203",
     NULL},
    {"node", KIND_NODE, sample_node, 240,
     "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b322232425262728292a2b2c2d2e2f303132333435"
     "000000174876e80000000014f46b040000000005ffffffff00000000000000466061626364656667"
     "68696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f02000000006b49d200000000006b49e0"
     "100102030405060708090a0b0c0d0e0f10111213141502030405060708090a0b0c0d0e0f10111213"
     "141516000000000000000b0000000000000002030405060708090a0b0c0d0e0f1011121314151617"
     "000000001ad27480000000000000000100000000000000020000010000000000000000000000004d",
     NULL},
    {"keys", KIND_KEYS, sample_keys, 3137,
     "333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152",
     "e9bf23831eaf164e2c3e9710563401938d30a5a663aeb9461bfcab30d1154e74"},
    {"keys_prev", KIND_KEYS, sample_keys_prev, 4321,
     "333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152",
     "d82dd3cd06bd73629f7ce6e3efffc626bd9b4496c6e202c70910d7b0cf05fb33"},
    {"row", KIND_ROW, sample_row, 89,
     "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b322232425262728292a2b2c2d2e2f303132333435"
     "0100000005000000010000000000000046808182838485868788898a8b8c8d8e8f90919293949596"
     "9798999a9b9c9d9e9f",
     NULL},
    {"epoch", KIND_EPOCH, sample_epoch, 241,
     "000000000000004d505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f"
     "909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeaf0000000800000000"
     "0000005000000746a528800000000002000000000102030405060708090a0b0c0d0e0f1011121314"
     "15161718191a1b1c1d1e1f2000000000000000030000000000001000000000060203040506070809"
     "0a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202100000000000000010000000000002000"
     "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecf0100000000000000"
     "02",
     NULL},
    {"envelope1_outer", KIND_ENVELOPE1_OUTER, sample_envelope1_outer, 8192,
     "0101000088898a8b8c8d8e8f999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabac",
     "a260399c91bf53d0819e51b1ae52d32f460accf40291b68276c1dafc9c6c51bc"},
    {"envelope1_inner", KIND_ENVELOPE1_INNER, sample_envelope1_inner, 3382,
     "0001101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d",
     "2f444fa273a8e259c2e8e707723ab167014a82a5881300e46e939cab55a110f0"},
    {"envelope1_inner_keys", KIND_ENVELOPE1_INNER, sample_envelope1_inner_keys, 6518,
     "0001101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d",
     "3ceb4282764417af0b116838c594aea8662dc1b0152e6cf332e2a5d7793d1c71"},
    {"response_ok", KIND_RESPONSE, sample_response_ok, 3,
     "010000",
     NULL},
    {"refusal_wrong_swarm", KIND_RESPONSE, sample_refusal_wrong_swarm, 60,
     "010050000000000000004d000000080000000502a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3"
     "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3",
     NULL},
    {"refusal_clock", KIND_RESPONSE, sample_refusal_clock, 11,
     "010051000001a3185c5000",
     NULL},
    {"refusal_work", KIND_RESPONSE, sample_refusal_work, 4,
     "01005313",
     NULL},
    {"refusal_quota", KIND_RESPONSE, sample_refusal_quota, 3,
     "010052",
     NULL},
    {"store_put_owner", KIND_STORE_PUT, sample_store_put_owner, 64,
     "01010100000003000000000001a3185c5000101112131415161718191a1b1c1d1e1f202122232425"
     "262728292a2b2c2d2e2f0000000560616263640000001388",
     NULL},
    {"store_put_token", KIND_STORE_PUT, sample_store_put_token, 96,
     "01010100000003000000000001a3185c5000101112131415161718191a1b1c1d1e1f202122232425"
     "262728292a2b2c2d2e2f00000005606162636401d0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3"
     "e4e5e6e7e8e9eaebecedeeef00001388",
     NULL},
    {"store_put_stamp", KIND_STORE_PUT, sample_store_put_stamp, 72,
     "01010100000003000000000001a3185c5000101112131415161718191a1b1c1d1e1f202122232425"
     "262728292a2b2c2d2e2f00000005606162636402010203040506070800001388",
     NULL},
    {"stored", KIND_STORED, sample_stored, 78,
     "01000001202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f0702a0a1"
     "a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3",
     NULL},
    {"store_receipts", KIND_STORE_RECEIPTS, sample_store_receipts, 34,
     "0102202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f",
     NULL},
    {"retrieve", KIND_RETRIEVE, sample_retrieve, 58,
     "0101101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2fffeb00010203"
     "0405060708090a0b0c0d0e0f0064000f4240",
     NULL},
    {"page", KIND_PAGE, sample_page, 131,
     "010000010102030405060708090a0b0c0d0e0f1000020100000003000000000001a3185c50001011"
     "12131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f00000005606162636401"
     "01000003000000000001a3185c5000101112131415161718191a1b1c1d1e1f202122232425262728"
     "292a2b2c2d2e2f00000000",
     NULL},
    {"info_request", KIND_INFO_REQUEST, sample_info_request, 2,
     "0101",
     NULL},
    {"info", KIND_INFO, sample_info, 90,
     "010000a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3000001a3185c5000000000000000004d00"
     "00000500000000000004d200000000000f424000000000001e8480000000000000002a0e73657373"
     "696f6e642f302e312e30",
     NULL},
    {"registry_ask", KIND_REGISTRY_ASK, sample_registry_ask, 14,
     "0101ffffffffffffffff00001000",
     NULL},
    {"registry_page", KIND_REGISTRY_PAGE, sample_registry_page, 178,
     "010000000000000000004d909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabac"
     "adaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecf0000000800"
     "0000500000004f0001a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b322232425262728292a2b2c"
     "2d2e2f3031323334350100000005000000010000000000000046808182838485868788898a8b8c8d"
     "8e8f909192939495969798999a9b9c9d9e9f",
     NULL},
    {"registry_keys_ask", KIND_REGISTRY_KEYS_ASK, sample_registry_keys_ask, 22,
     "0102a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3",
     NULL},
    {"registry_keys", KIND_REGISTRY_KEYS, sample_registry_keys, 3188,
     "010000333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f",
     "796ccc3c0bbc224c3f86d586fc3dedbe52b0893093f5db5816e08b718c74aeb0"},
    {"replicate_put", KIND_REPLICATE_PUT, sample_replicate_put, 3650,
     "0101000000000000000900020100000003000000000001a3185c500010111213",
     "8de5d6f1b52acc12e7a80c301f2f96a95a7338273a59573bb96d688dcbd534c0"},
    {"replicate_result", KIND_REPLICATE_RESULT, sample_replicate_result, 3550,
     "01000000000000000000090002000000500001a0a1a2a3a4a5a6a7a8a9aaabac",
     "df0ae7d1375889a702e62c4fb83a0e708f083ce2eb9352bf6389caf311f5b87b"},
    {"auth_hello_client", KIND_AUTH_HELLO, sample_auth_hello_client, 2,
     "0100",
     NULL},
    {"auth_hello_node", KIND_AUTH_HELLO, sample_auth_hello_node, 3331,
     "0101a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b34445464748494a4b4c4d",
     "5a32480af7a507fd59c42cb53ab0bbda0867ea726bdb265160bbe126e282d298"},
    {"auth_message", KIND_NONE, sample_auth_message, 150,
     "0101c0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfa0a1a2a3a4a5"
     "a6a7a8a9aaabacadaeafb0b1b2b30102030405060708090a0b0c0d0e0f101112131415161718191a"
     "1b1c1d1e1f20e0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeffe1e2"
     "e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff00",
     NULL},
    {"login", KIND_LOGIN, sample_login, 6447,
     "010155565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172",
     "6c481dbe35e3e628ff50a61957f2c398efecb25fef9af9bc3e6cd203a3cb3262"},
    {"login_message", KIND_NONE, sample_login_message, 116,
     "c0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf0102030405060708"
     "090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"
     "b0b1b2b3101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f",
     NULL},
    {"probe", KIND_PROBE, sample_probe, 42,
     "0101000000000000004d909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacad"
     "aeaf",
     NULL},
    {"probe_answer", KIND_PROBE_ANSWER, sample_probe_answer, 3312,
     "0100004445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f60",
     "1492044540d3f24cc3ef9ff25fbad53c9ae8380788f58e65eed7f265d96dbf4d"},
    {"probe_message", KIND_NONE, sample_probe_message, 112,
     "c0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf000000000000004d"
     "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3"
     "909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
     NULL},
    {"delete", KIND_DELETE, sample_delete, 6623,
     "00020100000003000000000001a3185c500029ceeb685afc217a6cbd986aadcf",
     "1b4c00d156a5315fcc34aa15038cb3799bcaaf32c1ce55cfd340be06cd28ebeb"},
    {"delete_put", KIND_DELETE_PUT, sample_delete_put, 74,
     "01010000138800000040606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d"
     "7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
     NULL},
    {"list", KIND_LIST, sample_list, 58,
     "0102101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f000000010203"
     "0405060708090a0b0c0d0e0f0064000f4240",
     NULL},
    {"list_page", KIND_LIST_PAGE, sample_list_page, 106,
     "010000020102030405060708090a0b0c0d0e0f1000010100000003000000000001a3185c50001011"
     "12131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f00000005606162636465"
     "666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f",
     NULL},
    {"prove", KIND_PROVE, sample_prove, 54,
     "0103101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f000000000000"
     "004d0002020007a121030007a120",
     NULL},
    {"proof", KIND_PROOF, sample_proof, 48,
     "010000000000000000004d00000021606162636465666768696a6b6c6d6e6f707172737475767778"
     "797a7b7c7d7e7f80",
     NULL},
};
/* clang-format on */

#endif
