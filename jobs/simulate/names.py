"""Names: about as many of them, and as common, as in China's population register.

By the Ministry of Public Security's reports of 2007 and 2019 the three commonest surnames have 7.25%, 7.19% and 6.83% of the
people, ten have more than 1.5% each, twelve more at least 0.8%, and a hundred have 84.8% to 85.9% of all; the commonest full name
has 0.021%. Here the hundred are all there are, and most names are of three letters.
"""

import numpy as np

from jobs.simulate.draws import Integers, Stream, uniform, weighted_choice

# By their rank, each with its spelling in pinyin.
SURNAMES_BY_RANK = (
    "王wang 李li 张zhang 刘liu 陈chen 杨yang 赵zhao 黄huang 周zhou 吴wu 徐xu 孙sun 胡hu 朱zhu 高gao 林lin 何he 郭guo 马ma "
    "罗luo 梁liang 宋song 郑zheng 谢xie 韩han 唐tang 冯feng 于yu 董dong 萧xiao 程cheng 曹cao 袁yuan 邓deng 许xu 傅fu 沈shen "
    "曾zeng 彭peng 吕lv 苏su 卢lu 蒋jiang 蔡cai 贾jia 丁ding 魏wei 薛xue 叶ye 阎yan 余yu 潘pan 杜du 戴dai 夏xia 钟zhong "
    "汪wang 田tian 任ren 姜jiang 范fan 方fang 石shi 姚yao 谭tan 廖liao 邹zou 熊xiong 金jin 陆lu 郝hao 孔kong 白bai 崔cui "
    "康kang 毛mao 邱qiu 秦qin 江jiang 史shi 顾gu 侯hou 邵shao 孟meng 龙long 万wan 段duan 雷lei 钱qian 汤tang 尹yin 黎li "
    "易yi 常chang 武wu 乔qiao 贺he 赖lai 龚gong 文wen"
)
# The letters of given names, the common ones first.
LETTERS_BY_RANK = (
    "伟wei 英ying 华hua 文wen 玉yu 秀xiu 明ming 芳fang 军jun 丽li 国guo 建jian 海hai 春chun 红hong 金jin 敏min 静jing 梅mei "
    "平ping 林lin 珍zhen 桂gui 荣rong 强qiang 志zhi 杰jie 涛tao 超chao 勇yong 艳yan 霞xia 娟juan 磊lei 刚gang 永yong 小xiao "
    "晓xiao 云yun 兰lan 凤feng 峰feng 波bo 宇yu 子zi 佳jia 婷ting 雪xue 欣xin 洋yang 燕yan 莉li 琴qin 玲ling 辉hui 俊jun "
    "鹏peng 飞fei 斌bin 龙long 庆qing 成cheng 德de 新xin 东dong 生sheng 清qing 良liang 祥xiang 福fu 兴xing 忠zhong 光guang "
    "元yuan 世shi 立li 学xue 景jing 思si 雨yu 梓zi 浩hao 然ran 轩xuan 涵han 怡yi 琪qi 诗shi 梦meng 博bo 晨chen 睿rui 嘉jia "
    "一yi 凯kai 瑞rui 翔xiang 宁ning 安an 康kang 健jian 亮liang 洁jie 倩qian 慧hui 颖ying 萍ping 娜na 露lu 月yue 花hua 美mei "
    "香xiang 爱ai 素su 淑shu 莲lian 巧qiao 彩cai 青qing 少shao 胜sheng 利li 民min 武wu 宏hong 伦lun 毅yi"
)
SURNAMES, LETTERS = tuple(SURNAMES_BY_RANK.split()), tuple(LETTERS_BY_RANK.split())
# In percent: the first ten as reported, the rest falling evenly, on a scale of logarithms, to that of the hundredth.
REPORTED = (7.25, 7.19, 6.83, 5.41, 4.53, 3.08, 2.29, 2.23, 2.12, 2.05)
SHARE_OF_NEXT, SHARE_OF_LAST = 1.5, 0.19
# The letters' frequencies fall as their ranks grow, the first few less steeply.
EVENED_RANKS = 8
ONE_LETTER_SHARE = 0.1


def surname_weights() -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """How common each surname is, in percent of the people."""
    ranks = np.arange(len(REPORTED) + 1, len(SURNAMES) + 1, dtype=np.float64)
    place = np.log(ranks / ranks[0]) / np.log(ranks[-1] / ranks[0])
    return np.concatenate([REPORTED, SHARE_OF_NEXT * (SHARE_OF_LAST / SHARE_OF_NEXT) ** place])


def letter_weights() -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """How common each letter of given names is, beside the others."""
    return np.asarray(1 / (EVENED_RANKS + np.arange(1, len(LETTERS) + 1)), dtype=np.float64)


def surnames(seed: int, entity: Integers) -> Integers:
    """The place of each one's surname in the list."""
    return weighted_choice(uniform(seed, Stream.SURNAME, entity), surname_weights())


def given_names(seed: int, entity: Integers) -> Integers:
    """Each one's given name as one number: the place of its first letter, and behind it that of the second counted from 1, if any."""
    first, second, has_one = (uniform(seed, Stream.GIVEN_NAME, entity, index) for index in range(3))
    weights, count = letter_weights(), len(LETTERS)
    behind = np.where(has_one < ONE_LETTER_SHARE, 0, 1 + weighted_choice(second, weights))
    return np.asarray(weighted_choice(first, weights) + count * behind, dtype=np.int64)
