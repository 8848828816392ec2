"""Words of the questionnaire, in the kit's languages. All other words of the kit live in the web catalogue."""

from __future__ import annotations

from typing import Final

from clipsonic_listening_test.pages import Text

FIELDS: Final[dict[str, tuple[str, Text]]] = {
    "transducer": (
        "choice",
        {
            "en": "What did you listen with?",
            "de": "Womit haben Sie gehört?",
            "es": "¿Con qué ha escuchado?",
            "fr": "Avec quoi avez-vous écouté ?",
            "ar": "بماذا استمعت؟",
        },
    ),
    "experience": (
        "choice",
        {
            "en": "How often have you taken part in listening tests?",
            "de": "Wie oft haben Sie an Hörversuchen teilgenommen?",
            "es": "¿Cuántas veces ha participado en pruebas de escucha?",
            "fr": "Combien de fois avez-vous participé à des tests d’écoute ?",
            "ar": "كم مرة شاركت في اختبارات الاستماع؟",
        },
    ),
    "hearing": (
        "choice",
        {
            "en": "Do you know of any hearing loss of yours?",
            "de": "Ist bei Ihnen ein Hörverlust bekannt?",
            "es": "¿Tiene alguna pérdida de audición conocida?",
            "fr": "Avez-vous une perte auditive connue ?",
            "ar": "هل لديك ضعف معروف في السمع؟",
        },
    ),
    "remarks": (
        "long_text",
        {
            "en": "Is there anything you want to tell us?",
            "de": "Möchten Sie uns noch etwas sagen?",
            "es": "¿Quiere decirnos algo más?",
            "fr": "Souhaitez-vous ajouter quelque chose ?",
            "ar": "هل تود أن تخبرنا بشيء؟",
        },
    ),
}

_PREFER_NOT: Final[Text] = {
    "en": "I prefer not to say",
    "de": "Keine Angabe",
    "es": "Prefiero no decirlo",
    "fr": "Je préfère ne pas répondre",
    "ar": "أفضّل عدم الإجابة",
}

OPTIONS: Final[dict[str, dict[str, Text]]] = {
    "transducer": {
        "over-ear": {
            "en": "Over-ear or on-ear headphones",
            "de": "Kopfhörer (ohrumschließend oder ohraufliegend)",
            "es": "Auriculares de diadema",
            "fr": "Casque",
            "ar": "سماعات رأس",
        },
        "in-ear": {
            "en": "Earphones in the ear",
            "de": "Ohrhörer im Ohr",
            "es": "Auriculares intrauditivos",
            "fr": "Écouteurs intra-auriculaires",
            "ar": "سماعات داخل الأذن",
        },
        "loudspeakers": {
            "en": "Loudspeakers",
            "de": "Lautsprecher",
            "es": "Altavoces",
            "fr": "Haut-parleurs",
            "ar": "مكبرات صوت",
        },
    },
    "experience": {
        "never": {"en": "Never before", "de": "Noch nie", "es": "Nunca", "fr": "Jamais", "ar": "لم أشارك من قبل"},
        "some": {
            "en": "Once to five times",
            "de": "Ein- bis fünfmal",
            "es": "De una a cinco veces",
            "fr": "Une à cinq fois",
            "ar": "من مرة إلى خمس مرات",
        },
        "many": {
            "en": "More than five times",
            "de": "Mehr als fünfmal",
            "es": "Más de cinco veces",
            "fr": "Plus de cinq fois",
            "ar": "أكثر من خمس مرات",
        },
    },
    "hearing": {
        "no": {"en": "No", "de": "Nein", "es": "No", "fr": "Non", "ar": "لا"},
        "yes": {"en": "Yes", "de": "Ja", "es": "Sí", "fr": "Oui", "ar": "نعم"},
        "prefer-not": _PREFER_NOT,
    },
}
